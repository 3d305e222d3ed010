"""Rows and tables: what the simulated database holds."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from integrations_api.simulator.company.people import Values

from .by_stamp import ByStamp, Pair
from .columns import Column
from .incidents import IncidentGenerator, JournalEntry

_FACETS = (
    "active",
    "state",
    "priority",
    "impact",
    "urgency",
    "category",
    "subcategory",
    "assignment_group",
    "assigned_to",
    "caller_id",
    "contact_type",
    "close_code",
)
_FACET_AT = {name: position for position, name in enumerate(_FACETS)}
STAMPS = frozenset({"sys_created_on", "sys_updated_on"})
"""Times that every row has at hand."""
_CORE = frozenset({"sys_id", "number", *STAMPS})


class Row:
    """One record.

    A generated one keeps only its ids and times until it is changed; the rest is told again when asked for.
    """

    __slots__ = (
        "_facets",
        "_index",
        "_source",
        "_values",
        "added_journal",
        "key",
        "number",
        "sys_created_on",
        "sys_id",
        "sys_updated_on",
    )

    def __init__(self, values: Values) -> None:
        self._values: Values | None = values
        self._facets: tuple[str, ...] | None = None
        self._source: IncidentGenerator | None = None
        self._index = 0
        self.added_journal: tuple[JournalEntry, ...] = ()
        self._read_core(values)

    def _read_core(self, values: Values) -> None:
        self.sys_id = values["sys_id"]
        self.key = self.sys_id.casefold()
        self.number = values.get("number", "")
        self.sys_created_on = values.get("sys_created_on", "")
        self.sys_updated_on = values.get("sys_updated_on", "")

    @classmethod
    def generated(cls, source: IncidentGenerator, index: int, core: Values) -> "Row":
        row = cls(core)
        row._values, row._source, row._index = None, source, index
        return row

    @property
    def values(self) -> Values:
        """All columns that are not empty. Read only: change a row with `change`."""
        if self._values is not None:
            return self._values
        assert self._source is not None
        return self._source.told(self._index)[0]

    def get(self, column: str) -> str:
        """The raw value of a column, empty where there is none."""
        if column in _CORE:
            value: str = getattr(self, column)
            return value
        if self._values is not None:
            return self._values.get(column, "")
        position = _FACET_AT.get(column)
        if position is None:
            return self.values.get(column, "")
        if self._facets is None:
            assert self._source is not None
            values = self._source.facts(self._index)
            self._facets = tuple(values.get(name, "") for name in _FACETS)
        return self._facets[position]

    def change(self, changes: Values) -> None:
        """Writes columns; the sys_id is never changed here."""
        self._write_down()
        values = {**self.values, **changes}
        self._values, self._facets = values, None
        self._read_core(values)

    def _write_down(self) -> None:
        """From now on it is kept, its journal too: nothing of it is told again."""
        if self._source is not None:
            self._values, journal = self._source.told(self._index)
            self.added_journal = (*journal, *self.added_journal)
            self._source = None

    @property
    def journal(self) -> list[JournalEntry]:
        """Comments and work notes, oldest first."""
        told = self._source.told(self._index)[1] if self._source else []
        return [*told, *self.added_journal]


class Bounds(Struct):
    """What a query says about sys_id that lets a table skip most of its rows. Ids are case-folded."""

    above: str = ""
    above_included: bool = False
    below: str | None = None
    below_included: bool = False
    only: frozenset[str] | None = None
    updated_from: str = ""
    """A lower bound of sys_updated_on (UTC); empty where there is none."""


class Table:
    """Rows by case-folded sys_id, with the ids in order. `version` rises with every change."""

    def __init__(self, name: str, columns: dict[str, Column]) -> None:
        self.name = name
        self.columns = columns
        self.rows: dict[str, Row] = {}
        self.order: list[str] = []
        self.version = 0
        self.results: dict[object, list[Row]] = {}
        self._by_stamp = {column: ByStamp(column) for column in STAMPS}

    is_sorted_by_id = True

    def __len__(self) -> int:
        return len(self.rows)

    def changed(self, keys: Sequence[str] = ()) -> None:
        """Forgets what was derived; `keys` are those of its own rows that have come, gone or been changed."""
        self.version += 1
        self.results.clear()
        if keys:
            for order in self._by_stamp.values():
                order.changed(keys)

    def find(self, sys_id: str) -> Row | None:
        return self.rows.get(sys_id.casefold())

    def add(self, row: Row) -> None:
        """Raises ValueError when the sys_id is taken, in whatever case."""
        if row.key in self.rows:
            raise ValueError(f"{self.name} already holds {row.sys_id}")
        self.rows[row.key] = row
        insort(self.order, row.key)
        self.changed([row.key])

    def add_all(self, rows: Iterable[Row]) -> None:
        self.rows.update((row.key, row) for row in rows)
        self.order = sorted(self.rows)
        self.changed(self.order)

    def remove(self, row: Row) -> None:
        del self.rows[row.key]
        del self.order[bisect_left(self.order, row.key)]
        self.changed([row.key])

    def candidates(
        self, bounds: Bounds, equal: dict[str, frozenset[str]], *, descending: bool = False
    ) -> Iterator[Row]:
        """Rows within the bounds, by sys_id.

        `equal` (column to allowed values) may be used to look at fewer of them.
        """
        if bounds.only is not None:
            for key in sorted(bounds.only, reverse=descending):
                if key in self.rows:
                    yield self.rows[key]
            return
        low, high = self.span(bounds)
        keys: Sequence[str] = self.order[low:high]
        if bounds.updated_from:
            keys = self._updated_among(keys, bounds.updated_from)
        for key in reversed(keys) if descending else keys:
            yield self.rows[key]

    def _updated_among(self, keys: Sequence[str], since: str) -> Sequence[str]:
        """Those of the ids, in their order, that may have been updated since; all where that is no shorter way."""
        by_time = self.by_stamp("sys_updated_on")
        updated = by_time[bisect_left(by_time, (since, "")) :]
        if not keys or len(updated) >= len(self.rows) // 4:
            return keys
        return sorted(key for _, key in updated if keys[0] <= key <= keys[-1])

    def by_stamp(self, column: str) -> list[Pair]:
        """(stamp, id) of every row, in order."""
        return self._by_stamp[column].pairs(self.rows)

    def span(self, bounds: Bounds) -> tuple[int, int]:
        """Positions in `order` that the bounds leave: from, up to but not including."""
        low = bisect_left(self.order, bounds.above) if bounds.above_included else bisect_right(self.order, bounds.above)
        if bounds.below is None:
            return low, len(self.order)
        cut = bisect_right if bounds.below_included else bisect_left
        return low, max(low, cut(self.order, bounds.below))
