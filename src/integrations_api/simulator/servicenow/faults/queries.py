"""Faults of the query: terms and sorts that the instance ignores or refuses."""

from typing import ClassVar, Literal

from integrations_api.simulator.servicenow.messages import Call, refuse
from integrations_api.simulator.servicenow.query import RANGE_OPERATORS, Condition, Query

from .base import Fault
from .registry import register


def _without(query: Query, is_dropped: "set[tuple[str, str]]") -> None:
    """Takes conditions, by column and operator, out of the query; an empty operator stands for all."""

    def stays(condition: Condition) -> bool:
        return not {(condition.column, condition.operator), (condition.column, "")} & is_dropped

    for group in query.groups:
        for clause in group:
            clause[:] = [condition for condition in clause if stays(condition)]
        group[:] = [clause for clause in group if clause]


@register
class IgnoredTerm(Fault):
    """Conditions on `column` (with `operator`, or any) are ignored in silence, as if the column were unknown."""

    name = "ignored_term"
    default_on: ClassVar[str] = "any"
    column: str = "sys_id"
    operator: str = ""

    def edit_query(self, call: Call, query: Query) -> None:
        if call.table == "incident" and self.strikes(call):
            _without(query, {(self.column, self.operator)})


@register
class IgnoredSort(Fault):
    """A query ACL drops the sort by `column` in silence; rows come newest first."""

    name = "query_acl_drops_sort"
    default_on: ClassVar[str] = "any"
    column: str = "sys_id"

    def edit_query(self, call: Call, query: Query) -> None:
        if call.table != "incident" or not self.strikes(call):
            return
        if any(ordering.column == self.column for ordering in query.order):
            query.order = [ordering for ordering in query.order if ordering.column != self.column]
            query.is_unordered = True


@register
class QueryRange(Fault):
    """The query ACL `query_range` fails on `column`: range operators and sorting by it are dropped, or refused with
    403.

    `how`: `drop` ignores them in silence, `refuse` answers 403.
    """

    name = "query_range"
    default_on: ClassVar[str] = "any"
    column: str = "sys_id"
    how: Literal["drop", "refuse"] = "refuse"

    def edit_query(self, call: Call, query: Query) -> None:
        if call.table != "incident" or not self._concerns(query) or not self.strikes(call):
            return
        if self.how == "refuse":
            raise refuse(
                403,
                "Insufficient rights to query records",
                f"Part of the query on {self.column} has been ignored because of insufficient access for "
                "'query_range' operation",
            )
        _without(query, {(self.column, operator) for operator in RANGE_OPERATORS})
        if any(ordering.column == self.column for ordering in query.order):
            query.order = [ordering for ordering in query.order if ordering.column != self.column]
            query.is_unordered = True

    def _concerns(self, query: Query) -> bool:
        conditions = [condition for group in query.groups for clause in group for condition in clause]
        ranges = any(c.column == self.column and c.operator in RANGE_OPERATORS for c in conditions)
        return ranges or any(ordering.column == self.column for ordering in query.order)
