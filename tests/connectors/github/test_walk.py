"""The walk through shifting pages, as a table of stories: what is asked next, and what is new on a page."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from integrations_api.connectors.errors import PageTooLarge, Refused
from integrations_api.connectors.github.client import Link
from integrations_api.connectors.github.walk import Cursor, Item, Position, advance, items_of

NEXT = Link("/repositories/1/issues", {"page": "2"})


def at(second: int) -> str:
    return f"2026-03-01T10:00:{second:02d}Z"


def items(*pairs: tuple[int, int]) -> list[Item]:
    return [{"id": number, "updated_at": at(second)} for number, second in pairs]


def ids(found: list[Item]) -> list[int]:
    return [item["id"] for item in found]


def test_the_last_page_ends_the_repository() -> None:
    position, fresh = advance(Position(), items((1, 1), (2, 2)), None)
    assert (position, ids(fresh)) == (None, [1, 2])


def test_the_next_page_begins_at_the_last_change_and_brings_it_once() -> None:
    position, fresh = advance(Position(), items((1, 1), (2, 2), (3, 2)), NEXT)
    assert position == Position(at(2), frozenset({2, 3}))
    assert ids(fresh) == [1, 2, 3]

    position, fresh = advance(position, items((2, 2), (3, 2), (4, 3)), None)
    assert (position, ids(fresh)) == (None, [4])


def test_an_issue_that_changed_again_comes_again() -> None:
    _, fresh = advance(Position(at(2), frozenset({2, 3})), items((3, 2), (2, 5)), None)
    assert ids(fresh) == [2]


def test_a_second_that_fills_a_page_is_followed_by_the_sources_own_link() -> None:
    start = Position(at(2), frozenset({1}))
    position, fresh = advance(start, items((1, 2), (2, 2)), NEXT)
    assert position is not None
    assert (position.next, position.anchor, ids(fresh)) == (NEXT, at(2), [2])


class Shifting:
    """A repository whose pages are numbered, as GitHub's are; `between` is called before every page."""

    def __init__(self, stamps: dict[int, int], size: int, between: Callable[["Shifting"], None]) -> None:
        self.stamps = stamps
        self.size = size
        self.between = between

    def page(self, position: Position) -> tuple[list[Item], Link | None]:
        self.between(self)
        found = sorted((second, number) for number, second in self.stamps.items())
        found = [pair for pair in found if position.anchor is None or at(pair[0]) >= position.anchor]
        number = int(position.next.params["page"]) if position.next else 1
        page = found[(number - 1) * self.size : number * self.size]
        more = len(found) > number * self.size
        link = Link("/repositories/1/issues", {"page": str(number + 1)}) if more else None
        return items(*((number, second) for second, number in page)), link

    def read(self) -> list[int]:
        position: Position | None = Position()
        seen: list[int] = []
        for _ in range(1000):
            if position is None:
                return seen
            position = Cursor.from_json(Cursor(("a/b",), None, position).as_json() or {}).at
            page, link = self.page(position)
            position, fresh = advance(position, page, link)
            seen.extend(ids(fresh))
        raise AssertionError("the walk does not end")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_quiet_repository_is_read_once(size: int) -> None:
    stamps = {number: 1 + number // 5 for number in range(1, 40)}
    seen = Shifting(stamps, size, lambda _: None).read()
    assert sorted(seen) == sorted(stamps)


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_while_issues_change_and_vanish_between_pages(seed: int) -> None:
    random = Random(seed)
    stamps = {number: random.choice((1, 1, 1, 2, 3, 3, 3, 3, 3, 4)) for number in range(1, 30)}
    later = iter(range(10, 40))

    def between(source: Shifting) -> None:
        moment = next(later, None)
        if moment is not None:
            source.stamps[random.choice(sorted(source.stamps))] = moment
            source.stamps.pop(random.choice(sorted(source.stamps)))

    source = Shifting(stamps, random.choice((2, 3, 4)), between)
    seen = source.read()
    assert set(source.stamps) <= set(seen)


@pytest.mark.parametrize(
    ("value", "anchor", "error"),
    [
        ({"message": "?"}, None, PageTooLarge),
        ([{"id": 1}], None, PageTooLarge),
        ([{"id": "1", "updated_at": at(1)}], None, PageTooLarge),
        (items((1, 5), (2, 3)), None, Refused),
        (items((1, 3), (2, 5)), at(4), Refused),
    ],
)
def test_a_page_that_breaks_its_promise_is_not_read(value: Any, anchor: str | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        items_of(value, anchor)
