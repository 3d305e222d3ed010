"""The Table API and the Aggregate API, read side: `/api/now/table/…`, `/api/now/stats/…`."""

from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlencode

from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow.messages import Call, CallKind, refuse

from .access import EMPTY_WHEN_DENIED
from .display import Look, Mode, Renderer
from .faults.base import Fault
from .instance import ServiceNowInstance
from .query import Query, UnsupportedQueryError
from .rows_cache import Written
from .selection import Selection
from .table import Row

DEFAULT_LIMIT = 10_000
NO_RECORD = "No Record found"
NOT_VISIBLE = "Record doesn't exist or ACL restricts the record retrieval"


class TableApi:
    """Answers requests about tables for a signed-in user. The caller holds the instance's lock."""

    def __init__(self, instance: ServiceNowInstance) -> None:
        self.instance = instance

    # ---- lists

    def list_rows(self, call: Call, faults: Sequence[Fault]) -> Answer:
        """Raises RefusedError."""
        denied = self._check_table(call)
        offset, limit = _offset(call), _limit(call)
        selection = self._selection(call, faults)
        rows = [] if denied else selection.page(offset, limit)
        total = None if _is_true(call, "sysparm_no_count") else selection.count()
        # The limit was applied first: what ACLs hide leaves a short page.
        rows = [row for row in rows if self._is_visible(call, row)]
        for fault in faults:
            rows = fault.select_rows(call, rows)
        call.rows = len(rows)
        written = self._written(call, rows)
        for fault in faults:
            written = fault.edit_rows(call, rows, written)
        if not written and call.version == "v1":
            raise refuse(404, NO_RECORD, NOT_VISIBLE)
        return self._list_answer(call, written, offset, limit, total)

    def _list_answer(self, call: Call, written: list[Written], offset: int, limit: int, total: int | None) -> Answer:
        answer = Answer.json(None)
        answer.body = b'{"result":[' + b",".join(written) + b"]}"
        if total is not None:
            answer.headers["X-Total-Count"] = str(total)
            link = _link(call, offset, limit, total)
            if link and not _is_true(call, "sysparm_suppress_pagination_header"):
                answer.headers["Link"] = link
        return answer

    def _selection(self, call: Call, faults: Sequence[Fault]) -> Selection:
        try:
            query = self.instance.parse(call.table, _query_text(call))
            self._check_hidden_fields(query)
            for fault in faults:
                fault.edit_query(call, query)
            return self.instance.select(call.table, query, literal_zone=call.literal_zone)
        except UnsupportedQueryError as error:
            raise refuse(501, "Not implemented by the simulator", str(error)) from error

    def _check_table(self, call: Call) -> bool:
        """Whether the user gets an empty list instead of the table. Raises RefusedError."""
        if call.table not in self.instance.tables:
            raise refuse(400, f"Invalid table {call.table}")
        assert call.user is not None
        if call.user.may_read(call.table):
            return False
        if call.table in EMPTY_WHEN_DENIED:
            return True
        raise refuse(403, "User Not Authorized", "Failed API level ACL Validation")

    def _check_hidden_fields(self, query: Query) -> None:
        if self.instance.hidden_fields_are != "forbidden":
            return
        asked = {condition.column for group in query.groups for clause in group for condition in clause}
        if asked & self.instance.hidden_fields:
            raise refuse(
                403,
                "Insufficient rights to query records",
                "Field(s) present in the query do not have permission to be read",
            )

    def _is_visible(self, call: Call, row: Row) -> bool:
        assert call.user is not None
        return call.table != "incident" or row.key not in self.instance.hidden or "admin" in call.user.roles

    # ---- single rows

    def one_row(self, call: Call, faults: Sequence[Fault]) -> Answer:
        """Raises RefusedError: 404 for what is not there and for what may not be seen, alike."""
        denied = self._check_table(call)
        row = self.instance.tables[call.table].find(call.sys_id)
        if row is None or denied or not self._is_visible(call, row):
            raise refuse(404, NO_RECORD, NOT_VISIBLE)
        written = self._written(call, [row])
        for fault in faults:
            written = fault.edit_rows(call, [row], written)
        answer = Answer.json(None)
        answer.body = b'{"result":' + (written[0] if written else b"{}") + b"}"
        return answer

    # ---- writing rows

    def _written(self, call: Call, rows: list[Row]) -> list[Written]:
        look = self._look(call)
        kept = self.instance.cache.of(look)
        blank = self.instance.blank if call.table == "incident" else set()
        renderer = Renderer(look, self.instance)
        new = {row.key: renderer.write(row) for row in rows if row.key not in kept and row.key not in blank}
        if new:
            self.instance.cache.keep(kept, list(new.items()))
        return [b"{}" if row.key in blank else new.get(row.key) or kept[row.key] for row in rows]

    def _look(self, call: Call) -> Look:
        assert call.user is not None
        hidden = self.instance.hidden_fields if call.table == "incident" and "admin" not in call.user.roles else set()
        fields = self._fields(call)
        if (
            hidden
            and self.instance.hidden_fields_are == "forbidden"
            and call.params.get("sysparm_fields")
            and hidden & set(fields)
        ):
            raise refuse(403, "Operation Failed", "ACL Exception: field(s) do not have permission to be read")
        if hidden and self.instance.hidden_fields_are != "empty":
            fields = tuple(name for name in fields if name not in hidden)
        mode = call.params.get("sysparm_display_value", "false").lower()
        return Look(
            table=call.table,
            fields=fields,
            mode=_MODES.get(mode, "false"),
            with_links=not _is_true(call, "sysparm_exclude_reference_link"),
            base_url=call.base_url,
            time_zone=call.user.time_zone,
            date_format=call.user.date_format,
            blanked=frozenset(hidden),
        )

    def _fields(self, call: Call) -> tuple[str, ...]:
        """The columns asked for, unknown ones left out; all when none were named."""
        asked = [name.strip() for name in call.params.get("sysparm_fields", "").split(",") if name.strip()]
        if not asked:
            return tuple(self.instance.tables[call.table].columns)
        return tuple(name for name in asked if self.instance.find_column(call.table, name))

    # ---- counts

    def stats(self, call: Call, faults: Sequence[Fault]) -> Answer:
        """`sysparm_count` with an optional `sysparm_group_by`; other aggregates are refused. Raises RefusedError."""
        denied = self._check_table(call)
        if unknown := [
            name
            for name in call.params
            if name.startswith(("sysparm_avg", "sysparm_min", "sysparm_max", "sysparm_sum", "sysparm_having"))
        ]:
            raise refuse(501, "Not implemented by the simulator", ", ".join(unknown))
        selection = self._selection(call, faults)
        counts_hidden = (
            self.instance.aggregates_count_hidden_rows or call.table != "incident" or not self.instance.hidden
        )
        group_by = call.params.get("sysparm_group_by", "")
        if not group_by and counts_hidden:
            return Answer.json({"result": {"stats": {"count": "0" if denied else str(selection.count())}}})
        rows = [] if denied else selection.page(0, 10**9)
        rows = rows if counts_hidden else [row for row in rows if self._is_visible(call, row)]
        if not group_by:
            return Answer.json({"result": {"stats": {"count": str(len(rows))}}})
        groups = Counter(self.instance.read(call.table, row, group_by) for row in rows)
        return Answer.json(
            {
                "result": [
                    {"stats": {"count": str(n)}, "groupby_fields": [{"field": group_by, "value": value}]}
                    for value, n in sorted(groups.items())
                ]
            }
        )


_MODES: dict[str, Mode] = {"false": "false", "true": "true", "all": "all"}


def kind_of(path_table: str, sys_id: str, params: dict[str, str]) -> CallKind:
    """What a request to the Table API is for."""
    if sys_id:
        return CallKind.ROW
    query = params.get("sysparm_query", "")
    is_small = (
        params.get("sysparm_limit") == "1" or query.startswith(("sys_id=", "sys_idIN")) or path_table != "incident"
    )
    return CallKind.PROBE if is_small else CallKind.PAGE


def _is_true(call: Call, name: str) -> bool:
    return call.params.get(name, "").lower() == "true"


def _query_text(call: Call) -> str:
    """`sysparm_query`, else the name=value pairs among the parameters."""
    if "sysparm_query" in call.params:
        return call.params["sysparm_query"]
    pairs = (f"{name}={value}" for name, value in call.params.items() if not name.startswith("sysparm_"))
    return "^".join(pairs)


def _limit(call: Call) -> int:
    text = call.params.get("sysparm_limit", str(DEFAULT_LIMIT))
    if not text.isdigit() or int(text) == 0:
        raise refuse(400, "Invalid value given for sysparm_limit", "sysparm_limit value must be a positive integer")
    return int(text)


def _offset(call: Call) -> int:
    text = call.params.get("sysparm_offset", "0")
    if not text.isdigit():
        raise refuse(
            400, "Invalid value given for sysparm_offset", "sysparm_offset value must be a non-negative integer"
        )
    return int(text)


def _link(call: Call, offset: int, limit: int, total: int) -> str:
    """The pagination header, empty when everything fits into one page.

    As captured from a real instance: no spaces after the commas, all parameters echoed, and on the first page a
    `prev` with
    offset -1 that leads nowhere.
    """
    if total <= limit:
        return ""
    steps = {"first": 0, "prev": offset - limit if offset >= limit else -1}
    if offset + limit < total:
        steps["next"] = offset + limit
    steps["last"] = (total - 1) // limit * limit
    return ",".join(f'<{_at_offset(call, start)}>;rel="{name}"' for name, start in steps.items())


def _at_offset(call: Call, offset: int) -> str:
    params = {**call.params, "sysparm_offset": str(offset)}
    return f"{call.base_url}{call.path}?{urlencode(params)}"
