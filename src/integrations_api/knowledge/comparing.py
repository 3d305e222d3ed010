"""What differs between two contents, field by field, and word by word in long texts. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson
from msgspec import Struct

PLAIN_FIELDS = ("number", "title", "text", "notes", "url")
"""Fields of an incident beside its attributes, in the order in which they are reported."""

ATTRIBUTE = "attributes."
"""Prefix of an attribute's name: `attributes.state`."""

LONG_TEXT = 80
"""Texts of this many characters or more on either side are also compared word by word."""

TEXT_BOUND = 50_000
"""Steps that are taken at most to compare one text, some twenty milliseconds: enough where 300 words differ."""

ANSWER_BOUND = 250_000
"""Steps that are taken at most for one answer: some hundred milliseconds."""

Operation = Literal["equal", "insert", "delete"]


class Segment(Struct, frozen=True):
    """A piece of text: equal and deleted pieces make up the text before, equal and inserted ones the text after."""

    op: Operation
    text: str


class FieldChange(Struct, frozen=True):
    """One field that differs; an attribute that one side does not have is None there."""

    field: str
    before: Any
    after: Any


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """The fields in which two contents differ: the plain ones first, then attributes by name."""
    changes = [FieldChange(name, before[name], after[name]) for name in PLAIN_FIELDS if before[name] != after[name]]
    old, new = before["attributes"], after["attributes"]
    return changes + [
        FieldChange(ATTRIBUTE + name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if _differ(old.get(name), new.get(name))
    ]


def _differ(before: Any, after: Any) -> bool:
    """As they are written, in lists as well: to Python true is 1, and 1 is 1.0."""
    return before != after or _written(before) != _written(after)


def _written(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def is_long_text(change: FieldChange) -> bool:
    """Whether a change is one of texts, and long enough to be worth segments."""
    if not isinstance(change.before, str) or not isinstance(change.after, str):
        return False
    return max(len(change.before), len(change.after)) >= LONG_TEXT


_WORD = re.compile(r"\S+\s*|\s+")


class WordComparison:
    """Compares long texts word by word, within bounds for one text and for all that one answer needs.

    The cost follows how much differs, not how long the texts are. Where it passes the bounds, all between the common
    beginning and end of the two is given as deleted and inserted.
    """

    def __init__(self, *, text_bound: int = TEXT_BOUND, answer_bound: int = ANSWER_BOUND) -> None:
        self._text_bound = text_bound
        self._left = answer_bound

    def segments(self, before: str, after: str) -> list[Segment]:
        """The way from one text to another, by words with the space behind them."""
        old, new = _WORD.findall(before), _WORD.findall(after)
        start = _common(old, new)
        end = _common(old[start:][::-1], new[start:][::-1])
        middle = self._middle(old[start : len(old) - end], new[start : len(new) - end])
        pieces = [Segment("equal", "".join(old[:start])), *middle, Segment("equal", "".join(old[len(old) - end :]))]
        return [piece for piece in pieces if piece.text]

    def _middle(self, old: Sequence[str], new: Sequence[str]) -> Iterator[Segment]:
        steps, runs = shortest_way(old, new, most=min(self._text_bound, self._left))
        self._left -= steps
        old_at = new_at = 0
        for old_from, new_from, length in (*runs, (len(old), len(new), 0)):
            yield Segment("delete", "".join(old[old_at:old_from]))
            yield Segment("insert", "".join(new[new_at:new_from]))
            old_at, new_at = old_from + length, new_from + length
            yield Segment("equal", "".join(old[old_from:old_at]))


Run = tuple[int, int, int]
"""Words that stay: where they stand in the one text, where in the other, and how many they are."""


def shortest_way(old: Sequence[Any], new: Sequence[Any], *, most: int) -> tuple[int, list[Run]]:
    """The steps taken, and the runs of words that stay where as few as can be are deleted and inserted.

    None stay where that is not found in so many steps. This is the greedy algorithm of E. Myers, "An O(ND) Difference
    Algorithm" (1986): how far each diagonal is reached with one edit, with two, and so on.
    """
    reached = {1: 0}
    before: list[dict[int, int]] = []
    steps = 0
    while steps < most:
        edits = len(before)
        before.append(dict(reached))
        for diagonal in range(-edits, edits + 1, 2):
            below, above = reached.get(diagonal - 1, -1), reached.get(diagonal + 1, -1)
            begins = x = above if below < above else below + 1
            while x < len(old) and x - diagonal < len(new) and old[x] == new[x - diagonal]:
                x += 1
            reached[diagonal] = x
            steps += 1 + x - begins
            if x >= len(old) and x - diagonal >= len(new):
                return steps, _runs(before, x, x - diagonal)
            if steps >= most:
                break
    return steps, []


def _runs(before: Sequence[Mapping[int, int]], x: int, y: int) -> list[Run]:
    """The way back from the end, through what was reached before each edit."""
    runs: list[Run] = []
    for reached in reversed(before):
        below, above = reached.get(x - y - 1, -1), reached.get(x - y + 1, -1)
        begins = above if below < above else below + 1
        if x > begins:
            runs.append((begins, begins - x + y, x - begins))
        x, y = (begins, begins - x + y - 1) if below < above else (begins - 1, begins - x + y)
    return runs[::-1]


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """How many words at the beginning are the same."""
    count = 0
    for mine, theirs in zip(old, new, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
