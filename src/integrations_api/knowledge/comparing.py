"""What differs between two contents, field by field, and word by word in long texts. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

from msgspec import Struct

PLAIN_FIELDS = ("number", "title", "text", "notes", "url")
"""Fields of an incident beside its attributes, in the order in which they are reported."""

ATTRIBUTE = "attributes."
"""Prefix of an attribute's name: `attributes.state`."""

LONG_TEXT = 80
"""Texts of this many characters or more on either side are also compared word by word."""

TEXT_BOUND = 100_000
"""Pairs of words that are compared at most for one text: some ten milliseconds."""

ANSWER_BOUND = 500_000
"""Pairs of words that are compared at most for one answer: some thirty milliseconds."""

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
        if old.get(name) != new.get(name)
    ]


def is_long_text(change: FieldChange) -> bool:
    """Whether a change is one of texts, and long enough to be worth segments."""
    if not isinstance(change.before, str) or not isinstance(change.after, str):
        return False
    return max(len(change.before), len(change.after)) >= LONG_TEXT


_WORD = re.compile(r"\S+\s*|\s+")


class WordComparison:
    """Compares long texts word by word, within bounds for one text and for all that one answer needs.

    The common beginning and end of two texts cost next to nothing. What lies between is compared while the bounds
    allow it, and is given as deleted and inserted in whole where they do not.
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
        pairs = len(old) * len(new)
        if pairs > min(self._text_bound, self._left):
            yield Segment("delete", "".join(old))
            yield Segment("insert", "".join(new))
            return
        self._left -= pairs
        for tag, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag == "equal":
                yield Segment("equal", "".join(old[old_from:old_to]))
                continue
            yield Segment("delete", "".join(old[old_from:old_to]))
            yield Segment("insert", "".join(new[new_from:new_to]))


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """How many words at the beginning are the same."""
    count = 0
    for mine, theirs in zip(old, new, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
