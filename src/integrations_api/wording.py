"""Sentences about what is counted or listed only when they are said."""

from collections.abc import Iterable


def counted(number: int, one: str, many: str) -> str:
    """The number with what is said of one, or of any other number: "1 job waits", "3 jobs wait"."""
    return f"{number} {one if number == 1 else many}"


def one_of(names: Iterable[str]) -> str:
    """Which may be chosen: "a, b or c". There is at least one."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
