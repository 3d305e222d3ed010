"""Reading a repository's issues by the time of their last change, although pages shift while they are read.

`sort=updated&direction=asc&since=A` is asked for again and again with A moved up to the last change that was read, so
that every page is a first page and nothing can slip past its edge: whatever changes meanwhile comes later once more.
Only where a whole page lies in one second the source's links are followed, until two walks through that second have
found the same issues.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from integrations_api.connectors.errors import PageTooLarge, Refused
from integrations_api.connectors.github.client import Link
from integrations_api.connectors.records import JsonObject

Item = Mapping[str, Any]


class Position(Struct, frozen=True):
    """Where the walk through one repository is.

    `anchor` is the lower bound of the next page, `seen` the ids already read that changed in just that second. Within
    a second that fills more than a page: `next` is where it goes on, `walked` what this walk has found in it so far,
    and `before` what the walk before this one found.
    """

    anchor: str | None = None
    seen: frozenset[int] = frozenset()
    next: Link | None = None
    walked: frozenset[int] = frozenset()
    before: frozenset[int] | None = None

    def as_json(self) -> JsonObject:
        """For a cursor."""
        return {
            "anchor": self.anchor,
            "seen": sorted(self.seen),
            "next": self.next.as_json() if self.next else None,
            "walked": sorted(self.walked),
            "before": None if self.before is None else sorted(self.before),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Position":
        """Reads what `as_json` wrote."""
        link, before = value["next"], value["before"]
        return cls(
            anchor=value["anchor"],
            seen=frozenset(value["seen"]),
            next=Link(link["path"], link["params"]) if link else None,
            walked=frozenset(value["walked"]),
            before=None if before is None else frozenset(before),
        )

    def again(self) -> "Position":
        """The same second from its first page on: for when the size of pages changes."""
        return replace(self, next=None, walked=frozenset())


class Cursor(Struct, frozen=True):
    """What is left of a fetch: the repositories (the first is being read), and the lower bound for each of them."""

    repositories: tuple[str, ...]
    since: str | None
    at: Position = field(default_factory=Position)

    @classmethod
    def over(cls, repositories: Sequence[str], since: str | None) -> "Cursor":
        """The beginning of a fetch."""
        return cls(tuple(repositories), since, Position(since))

    def moved(self, position: Position | None) -> "Cursor":
        """After a page; `position` None says that the repository is read."""
        if position is not None:
            return replace(self, at=position)
        return replace(self, repositories=self.repositories[1:], at=Position(self.since))

    def as_json(self) -> JsonObject | None:
        """None once nothing is left."""
        if not self.repositories:
            return None
        return {"repositories": list(self.repositories), "since": self.since, "at": self.at.as_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cursor":
        """Reads what `as_json` wrote."""
        return cls(tuple(value["repositories"]), value["since"], Position.from_json(value["at"]))


def items_of(value: Any, anchor: str | None) -> list[Item]:
    """The issues and pull requests of a page, each checked against what was asked for.

    Raises `PageTooLarge` for what is no page, `Refused` where bound or order were ignored: it would lose issues.
    """
    if not isinstance(value, list) or not all(_is_item(item) for item in value):
        raise PageTooLarge("The answer broke off", "Try a smaller page_size")
    stamps = [item["updated_at"] for item in value]
    if stamps != sorted(stamps):
        raise Refused("The source ignored the order by the last change", "Ask why sort=updated is not honoured")
    if anchor is not None and stamps and stamps[0] < anchor:
        raise Refused("The source ignored the lower bound of time", "Ask why since= is not honoured")
    return value


def _is_item(item: Any) -> bool:
    return isinstance(item, dict) and type(item.get("id")) is int and type(item.get("updated_at")) is str


def advance(at: Position, items: Sequence[Item], link: Link | None) -> tuple[Position | None, list[Item]]:
    """What comes after a page, None at the end of the repository; and which of its items were not read before.

    Raises `PageTooLarge` for a first page without items that has a next one.
    """
    if not items and link is not None and at.next is None:
        raise PageTooLarge("The answer broke off", "Try a smaller page_size")
    fresh = [item for item in items if not (item["id"] in at.seen and item["updated_at"] == at.anchor)]
    beyond = [item for item in items if item["updated_at"] != at.anchor]
    if at.next is None and link is None:
        return None, fresh
    if at.next is None and beyond:
        last = items[-1]["updated_at"]
        return Position(last, frozenset(item["id"] for item in items if item["updated_at"] == last)), fresh
    return _within(at, items, link, is_over=bool(beyond) or link is None)


def _within(
    at: Position, items: Sequence[Item], link: Link | None, *, is_over: bool
) -> tuple[Position | None, list[Item]]:
    """Inside a second that fills more than a page: later items wait until it has been walked through twice alike."""
    here = [item for item in items if item["updated_at"] == at.anchor]
    fresh = [item for item in here if item["id"] not in at.seen]
    ids = frozenset(item["id"] for item in here)
    moved = replace(at, seen=at.seen | ids, walked=at.walked | ids, next=link)
    if not is_over:
        return moved, fresh
    if moved.before == moved.walked:
        return Position(_a_second_after(at.anchor)), fresh
    return replace(moved, next=None, walked=frozenset(), before=moved.walked), fresh


def _a_second_after(anchor: str | None) -> str:
    assert anchor is not None
    return stamp(read_stamp(anchor) + timedelta(seconds=1))


def stamp(moment: datetime) -> str:
    """`2026-03-01T10:30:00Z`."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def read_stamp(text: str) -> datetime:
    """The reverse of `stamp`. Raises `Refused` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("The source sent a time that cannot be read", "Ask what stands before the API") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
