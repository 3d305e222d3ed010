"""A table's rows in the order of one of their own times."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .table import Row

Pair = tuple[str, str]
"""A time and the id of the row that has it."""
MANY = 20
"""Where more than one row in so many was changed, sorting all is quicker."""


class ByStamp:
    """Pairs in order. Where few rows were changed, only those are put in their places again."""

    def __init__(self, column: str) -> None:
        self._stamp_of = attrgetter(column)
        self._pairs: list[Pair] = []
        self._placed: dict[str, Pair] = {}
        self._changed: set[str] = set()

    def changed(self, keys: Iterable[str]) -> None:
        """These rows have come, gone, or been changed."""
        self._changed.update(keys)

    def pairs(self, rows: Mapping[str, "Row"]) -> list[Pair]:
        """Those of all rows; equal times by id. Read only."""
        if self._changed:
            gone = [self._placed.pop(key) for key in self._changed if key in self._placed]
            come = [(self._stamp_of(rows[key]), key) for key in self._changed if key in rows]
            self._changed.clear()
            self._place(gone, come)
            self._placed.update((pair[1], pair) for pair in come)
        return self._pairs

    def _place(self, gone: list[Pair], come: list[Pair]) -> None:
        if len(gone) + len(come) > len(self._pairs) // MANY:
            self._pairs = sorted([*self._placed.values(), *come])
            return
        for pair in gone:
            del self._pairs[bisect_left(self._pairs, pair)]
        for pair in come:
            insort(self._pairs, pair)


def newest_first(pairs: list[Pair]) -> Iterator[Pair]:
    """The other way round, but equal times by id all the same."""
    for _, equal in groupby(reversed(pairs), key=itemgetter(0)):
        yield from reversed(list(equal))
