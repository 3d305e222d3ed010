"""Running a parsed query over a table."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter, itemgetter
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from integrations_api.simulator.common.clock import parse_stamp, stamp

from .by_stamp import newest_first
from .columns import Column, Kind
from .query import Condition, Ordering, Query, UnsupportedQueryError
from .table import STAMPS, Bounds, Row, Table
from .zones import local_to_utc

Predicate = Callable[[Row], bool]
ReadColumn = Callable[[Row, str], str]
KEPT_RESULTS = 8


class Reading(Struct, frozen=True):
    """How rows are compared:

    `read` follows dot-walks, `literal_zone` is the zone that time literals are meant in (None: UTC).
    """

    read: ReadColumn
    find_column: Callable[[str], Column | None]
    literal_zone: ZoneInfo | None = None
    shuffle: Random | None = None


class Selection:
    """The rows of a table that match a query, in its order."""

    def __init__(self, table: Table, query: Query, reading: Reading) -> None:
        self.table = table
        self.query = query
        self.reading = reading
        self._bounds = bounds_of(query, reading.literal_zone)
        self._equal = equalities_of(query)
        self._predicate = compile_query(query, reading)

    def count(self) -> int:
        """How many rows match, whoever may see them."""
        if self.query.impossible:
            return 0
        if self._only_bounds() and self.table.is_sorted_by_id:
            low, high = self.table.span(self._bounds)
            return high - low
        if (bound := self._only_stamp()) is not None:
            return self._count_by_stamp(bound)
        return len(self._all())

    def page(self, offset: int, limit: int) -> list[Row]:
        """Rows `offset` to `offset + limit` of the result."""
        if self.query.impossible:
            return []
        if self._streams() and offset == 0:
            return list(islice(self._matching(), limit))
        if self._is_all_by_stamp():
            return list(islice(self._all_by_stamp(), offset, offset + limit))
        return self._all()[offset : offset + limit]

    def _only_bounds(self) -> bool:
        """Whether the bounds on sys_id say all that the query says."""
        groups = self.query.groups
        if len(groups) != 1 or self._bounds.only is not None:
            return False
        return all(
            len(clause) == 1 and clause[0].column == "sys_id" and clause[0].operator in _BOUND for clause in groups[0]
        )

    def _only_stamp(self) -> Condition | None:
        """The bound on one of a row's own times that is all the query says, if it is."""
        match self.query.groups:
            case [[[Condition(column=column, operator=operator) as condition]]] if column in STAMPS:
                return condition if operator in _BOUND and self.table.is_sorted_by_id else None
        return None

    def _count_by_stamp(self, bound: Condition) -> int:
        by_stamp = self.table.by_stamp(bound.column)
        value = _utc(bound.value, self.reading.literal_zone)
        is_after = bound.operator in {">", "<="}
        at = (bisect_right if is_after else bisect_left)(by_stamp, value, key=itemgetter(0))
        empty = bisect_right(by_stamp, "", key=itemgetter(0))
        return max(0, at - empty) if bound.operator in {"<", "<="} else len(by_stamp) - max(at, empty)

    def _streams(self) -> bool:
        order = self.query.order
        if self.query.is_unordered:
            return False
        return self.table.is_sorted_by_id and (not order or order[0].column == "sys_id")

    def _matching(self) -> Iterator[Row]:
        order = self.query.order
        descending = bool(order) and order[0].column == "sys_id" and order[0].descending
        rows = self.table.candidates(self._bounds, self._equal, descending=descending)
        return filter(self._predicate, rows)

    def _all(self) -> list[Row]:
        key = (repr(self.query), self.reading.literal_zone)
        kept = None if self.reading.shuffle else self.table.results.get(key)
        if kept is None:
            kept = self._sorted(list(self._matching()))
            self._keep(key, kept)
        return kept

    def _is_all_by_stamp(self) -> bool:
        """Whether every row is asked for, in the order of one of its own times."""
        if not self.table.is_sorted_by_id or self.query.is_unordered or self.reading.shuffle or any(self.query.groups):
            return False
        return [ordering.column in STAMPS for ordering in self.query.order] == [True]

    def _all_by_stamp(self) -> Iterator[Row]:
        (order,) = self.query.order
        pairs = self.table.by_stamp(order.column)
        return (self.table.rows[key] for _, key in (newest_first(pairs) if order.descending else pairs))

    def _keep(self, key: object, rows: list[Row]) -> None:
        if len(self.table.results) >= KEPT_RESULTS:
            self.table.results.pop(next(iter(self.table.results)))
        self.table.results[key] = rows

    def _sorted(self, rows: list[Row]) -> list[Row]:
        if self._streams():
            return rows
        if self.reading.shuffle:
            self.reading.shuffle.shuffle(rows)
        if self.query.is_unordered:
            rows.sort(key=lambda row: row.sys_updated_on, reverse=True)
        for ordering in reversed(self.query.order):
            rows.sort(key=self._sort_key(ordering), reverse=ordering.descending)
        return rows

    def _sort_key(self, ordering: Ordering) -> Callable[[Row], Any]:
        """Empty values come first, numbers compare as numbers, text without regard to case."""
        read = self.reading.read
        column = self.reading.find_column(ordering.column)
        if ordering.column in STAMPS:
            return attrgetter(ordering.column)
        if column is not None and column.kind is Kind.DATE_TIME:
            return lambda row: (0, read(row, ordering.column))

        def key(row: Row) -> tuple[float, str]:
            text = read(row, ordering.column)
            return (
                (float(text), "") if is_number(text) else (float("-inf") if not text else float("inf"), text.casefold())
            )

        return key


_BOUND = frozenset({">", ">=", "<", "<="})


def bounds_of(query: Query, zone: ZoneInfo | None = None) -> Bounds:
    """What every group of the query demands of sys_id and sys_updated_on; nothing when there are several groups."""
    bounds = Bounds()
    if len(query.groups) != 1:
        return bounds
    for clause in query.groups[0]:
        if len(clause) == 1 and clause[0].column == "sys_id":
            _narrow(bounds, clause[0])
        elif len(clause) == 1 and clause[0].column == "sys_updated_on" and clause[0].operator in {">", ">="}:
            bounds.updated_from = max(bounds.updated_from, _utc(clause[0].value, zone))
    return bounds


def _narrow(bounds: Bounds, condition: Condition) -> None:
    value = condition.value.casefold()
    match condition.operator:
        case ">" | ">=":
            included = condition.operator == ">="
            if value > bounds.above or (value == bounds.above and not included):
                bounds.above, bounds.above_included = value, included
        case "<" | "<=":
            included = condition.operator == "<="
            if bounds.below is None or value < bounds.below or (value == bounds.below and not included):
                bounds.below, bounds.below_included = value, included
        case "=" | "IN":
            ids = (
                frozenset(part.strip() for part in value.split(","))
                if condition.operator == "IN"
                else frozenset({value})
            )
            bounds.only = ids if bounds.only is None else bounds.only & ids


def equalities_of(query: Query) -> dict[str, frozenset[str]]:
    """Columns that must equal one of some values for a row to match; only for queries of one group."""
    if len(query.groups) != 1:
        return {}
    single = (clause[0] for clause in query.groups[0] if len(clause) == 1)
    return {c.column: frozenset(_listed(c)) for c in single if c.operator in ("=", "IN")}


def _listed(condition: Condition) -> list[str]:
    return condition.value.split(",") if condition.operator == "IN" else [condition.value]


def compile_query(query: Query, reading: Reading) -> Predicate:
    """A function that tells whether a row matches."""
    groups = [_all_of([_any_of([_compile(c, reading) for c in clause]) for clause in group]) for group in query.groups]
    return _any_of(groups)


def _any_of(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda row: any(predicate(row) for predicate in predicates)


def _all_of(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda row: all(predicate(row) for predicate in predicates)


def _compile(condition: Condition, reading: Reading) -> Predicate:
    column = reading.find_column(condition.column)
    assert column is not None
    if column.kind is Kind.JOURNAL:
        raise UnsupportedQueryError(f"The simulator does not search journals: {condition.column}")
    wanted = _literal(condition.value, column, reading.literal_zone)
    test = comparison(condition.operator, wanted, column.kind)
    name, read = condition.column, reading.read
    if name in STAMPS:
        stamp_of = attrgetter(name)
        return lambda row: test(stamp_of(row))
    return lambda row: test(read(row, name))


def _literal(value: str, column: Column, zone: ZoneInfo | None) -> str:
    """A literal as it is compared: a time that is meant in a zone as UTC, a bare date as its first second."""
    if column.kind is Kind.BOOLEAN:
        return {"1": "true", "0": "false"}.get(value, value)
    return _utc(value, zone) if column.kind is Kind.DATE_TIME and value else value


def _utc(value: str, zone: ZoneInfo | None) -> str:
    text = f"{value} 00:00:00" if len(value) == 10 else value
    try:
        seconds = parse_stamp(text)
    except ValueError:
        return value
    return text if zone is None else stamp(local_to_utc(seconds, zone))


def is_number(text: str) -> bool:
    return text.removeprefix("-").isdigit()


def comparison(operator: str, wanted: str, kind: Kind) -> Callable[[str], bool]:
    """A function that compares a raw value with `wanted`. An empty value is NULL: it is neither above nor below
    anything.

    `!=`, `NOT IN` and `NOT LIKE` hold for empty values, as the instance adds "or empty" to them.
    """
    folded = wanted.casefold()
    many = frozenset(part.strip() for part in folded.split(",")) if operator in ("IN", "NOT IN") else frozenset()
    tests: dict[str, Callable[[str], bool]] = {
        "=": lambda value: value.casefold() == folded,
        "!=": lambda value: value.casefold() != folded,
        "LIKE": lambda value: folded in value.casefold(),
        "NOT LIKE": lambda value: folded not in value.casefold(),
        "STARTSWITH": lambda value: value.casefold().startswith(folded),
        "ENDSWITH": lambda value: value.casefold().endswith(folded),
        "IN": lambda value: value.casefold() in many,
        "NOT IN": lambda value: value.casefold() not in many,
        "ISEMPTY": lambda value: not value,
        "ISNOTEMPTY": bool,
    }
    return tests.get(operator) or _ranking(operator, folded, kind)


def _ranking(operator: str, folded: str, kind: Kind) -> Callable[[str], bool]:
    if kind is Kind.DATE_TIME:
        return _ranking_in_time(operator, folded)
    by_number = kind in (Kind.INTEGER, Kind.CHOICE) and is_number(folded)

    def compare(value: str) -> int:
        if by_number and is_number(value):
            return (int(value) > int(folded)) - (int(value) < int(folded))
        text = value.casefold()
        return (text > folded) - (text < folded)

    match operator:
        case ">":
            return lambda value: bool(value) and compare(value) > 0
        case ">=":
            return lambda value: bool(value) and compare(value) >= 0
        case "<":
            return lambda value: bool(value) and compare(value) < 0
        case _:
            return lambda value: bool(value) and compare(value) <= 0


def _ranking_in_time(operator: str, wanted: str) -> Callable[[str], bool]:
    """Stamps rank as they are spelled: no case, and this is asked of every row of a table."""
    match operator:
        case ">":
            return lambda value: bool(value) and value > wanted
        case ">=":
            return lambda value: bool(value) and value >= wanted
        case "<":
            return lambda value: "" < value < wanted
        case _:
            return lambda value: "" < value <= wanted


def visible(rows: Iterable[Row], hidden: set[str]) -> list[Row]:
    """Rows that a row ACL lets through."""
    return [row for row in rows if row.key not in hidden]
