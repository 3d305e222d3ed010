"""Every row is checked against the query that asked for it.

ServiceNow drops conditions and orders that it does not understand, or that a query ACL forbids, and answers with
the rest: a wrong set that looks like a right one. A row that breaks the promise ends the run; one that breaks the
filter only where it is found by it once more, for it may have been changed between being found and being read.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.servicenow.answers import QUERY_ACL_REMEDY
from integrations_api.connectors.servicenow.client import Row
from integrations_api.connectors.servicenow.conditions import judge_of
from integrations_api.connectors.servicenow.mapping import cell
from integrations_api.connectors.servicenow.query import Clause, Range

_FILTER_REMEDY = (
    "Check the column names of the filter, and that the user may read them; ServiceNow ignores a condition on a "
    "column that it does not know or that a query ACL forbids"
)


def ignored(column: str) -> Refused:
    """The error for a condition on a column of the sync's own that made no difference."""
    return Refused(f"The source ignored the condition on {column}", QUERY_ACL_REMEDY)


def ignored_in_filter(column: str) -> Refused:
    """The same for a condition of the administrator's filter."""
    return Refused(f"The source ignored the filter's condition on {column}", _FILTER_REMEDY)


def sys_id_of(row: Row) -> str:
    """The row's id, empty where nothing of it may be seen."""
    raw = row.get("sys_id")
    return raw if type(raw) is str else cell(raw)[0]


class Promise(Struct, frozen=True):
    """What a query promises of its rows: their range, their order, a lower bound of time, and simple clauses."""

    range: Range
    updated_from: str | None
    """The lower bound of `sys_updated_on`, as its value is written; None where there is none."""
    clauses: Sequence[Clause] = ()

    def check(self, rows: Sequence[Row], ids: Sequence[str]) -> None:
        """Raises `Refused` when a row is not what was asked for; `ids` are the rows' own."""
        check_ids(ids, self.range)
        if self.updated_from is not None:
            for row in rows:
                updated = cell(row.get("sys_updated_on"))[0]
                if updated and updated < self.updated_from:
                    raise ignored("sys_updated_on")

    def strays(self, rows: Sequence[Row]) -> dict[str, str]:
        """Rows that show another value than a clause asks for (sys_id to column); a hidden value tells nothing."""
        found = {}
        for clause in self.clauses:
            judges = [(condition.column, judge_of(condition)) for condition in clause]
            for row in rows:
                cells = ((*cell(row.get(column)), may_hold) for column, may_hold in judges)
                if all(value and not may_hold(value, label) for value, label, may_hold in cells):
                    found[sys_id_of(row)] = clause[0].column
        return found


def check_ids(ids: Sequence[str], within: Range) -> None:
    """Ids must lie in their range and ascend, each once. Raises `Refused`."""
    folded = [sys_id.casefold() for sys_id in ids]
    if not _ascends(folded) and not _ascends(ids):  # a few databases tell capitals apart
        raise Refused("The source ignored the order by sys_id", QUERY_ACL_REMEDY)
    if ids and not (_is_within(folded[0], within) and _is_within(folded[-1], within)):
        raise ignored("sys_id")


def _ascends(ids: Sequence[str]) -> bool:
    return all(map(str.__lt__, ids, ids[1:]))


def _is_within(folded: str, within: Range) -> bool:
    low = within.low.casefold()
    above = not low or folded > low or (within.includes_low and folded == low)
    return above and (within.high is None or folded <= within.high.casefold())


def missing_columns(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Columns that no row has at all, although they were asked for: unknown to the table, or hidden."""
    return [column for column in columns if rows and not any(column in row for row in rows)]


def no_condition_may_be_ignored(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Raises `Refused` when a column of the filter is not in the rows that were asked for with it."""
    if missing := missing_columns(rows, columns):
        raise Refused(f"The filter names a column that cannot be read: {missing[0]}", _FILTER_REMEDY)
