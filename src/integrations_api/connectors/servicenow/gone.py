"""Records that are no longer there: named by the delete log or outside of the filter, each confirmed, and why."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from integrations_api.connectors.errors import PageTooLarge, Refused, Retryable
from integrations_api.connectors.merge import in_chunks
from integrations_api.connectors.records import Gone
from integrations_api.connectors.servicenow.client import Row, Rows, ServiceNowClient
from integrations_api.connectors.servicenow.mapping import cell
from integrations_api.connectors.servicenow.query import ORDER, Range, any_of, joined, stamp
from integrations_api.connectors.servicenow.verify import check_ids, ignored, sys_id_of

DELETE_LOG = "sys_audit_delete"
_CHUNK = 100
_LOG_PAGE = 1000
_IDS_PAGE, _SMALL_PAGE = 5000, 200
_MOST_CLASSES = 50
"""In one question: some tables have hundreds, and an address has a greatest length."""
_ANY_ZONE = timedelta(hours=15)
"""A time literal may be read in the session's zone; this much earlier it is early enough in every zone. What is named
too often costs one more confirmation."""

_CONTROLS = 3

FindControl = Callable[[bool], Awaitable[str | None]]

Reason = Literal["deleted", "archived", "no_longer_visible", "out_of_filter"]


async def classes_of(client: ServiceNowClient, table: str, rows: Sequence[Row]) -> list[str]:
    """The names by which deletes of a table's records are logged: the log files each under its own class.

    Whether others extend the table is seen in some of its rows; only then all classes are asked for.
    """
    seen = {name for row in rows if (name := cell(row.get("sys_class_name"))[0])}
    if seen <= {table}:
        return [table]
    try:
        known = await client.values(table, "sys_class_name")
    except (Refused, PageTooLarge):
        known = []
    return sorted({table, *seen, *known})


async def deleted_since(client: ServiceNowClient, classes: Sequence[str], since: datetime) -> list[str] | None:
    """Ids that the delete log names since then (and some time before); None where it cannot be read."""
    named: list[str] = []
    try:
        for some in in_chunks(classes, _MOST_CLASSES):
            named.extend(await _named(client, some, since))
    except Refused:
        return None
    return [sys_id for sys_id in dict.fromkeys(named) if sys_id]


async def _named(client: ServiceNowClient, classes: Sequence[str], since: datetime) -> list[str]:
    """Raises `Refused` where the log does not show all of it, or not in the order that is asked for."""
    base = f"{any_of('tablename', classes)}^sys_created_on>={stamp(since - _ANY_ZONE)}"
    named: list[str] = []
    part = Range()
    while True:
        answer = await client.ask(
            DELETE_LOG,
            joined(base, part.condition(), ORDER),
            fields=["sys_id", "documentkey", "tablename"],
            limit=_LOG_PAGE,
            count=True,
            shrinks=True,
        )
        ids = [sys_id for row in answer.rows if (sys_id := sys_id_of(row))]
        if len(ids) < min(answer.limit, answer.total if answer.total is not None else 0):
            raise Refused("The delete log counts more than it shows")  # an incomplete log is no log
        check_ids(ids, part)
        named.extend(cell(row.get("documentkey"))[0] for row in answer.rows if cell(row.get("tablename"))[0] in classes)
        if len(ids) < answer.limit:
            return named
        part = part.after(ids[-1])


async def changed_outside(client: ServiceNowClient, table: str, *, filter_text: str, bound: str) -> list[str]:
    """Ids of the table's rows that changed within the bound and that the filter does not take: some may have left it.

    None of them where the table is too large to be asked without the filter: a full sync finds out.
    """
    try:
        changed = await _ids(client, table, bound)
        taken = set(await _ids(client, table, joined(filter_text, bound))) if changed else set()
    except (PageTooLarge, Refused):
        return []
    return [sys_id for sys_id in changed if sys_id not in taken]


async def _ids(client: ServiceNowClient, table: str, query: str) -> list[str]:
    """All that can be seen, by sys_id. Raises `PageTooLarge` soon, for a run need not know them."""
    found: list[str] = []
    part = Range()
    while True:
        answer = await _ids_page(client, table, joined(query, part.condition(), ORDER))
        ids = [sys_id for row in answer.rows if (sys_id := sys_id_of(row))]
        check_ids(ids, part)
        found += ids
        is_end = len(answer.rows) < answer.limit if answer.total is None else answer.total <= answer.limit
        if is_end or not ids:
            return found
        part = part.after(ids[-1])


async def _ids_page(client: ServiceNowClient, table: str, query: str) -> Rows:
    attempts = client.patience.attempts()
    limit = _IDS_PAGE
    while True:
        try:
            return await client.page(table, query, fields=["sys_id"], limit=limit, count=True)
        except PageTooLarge:
            if limit == _SMALL_PAGE:
                raise
            limit = _SMALL_PAGE
        except Retryable as error:
            await attempts.again(error)


class Confirmation:
    """Asks for ids one chunk at a time, always together with a row that lives: silence can then be told from loss.

    `classes` are those of the table's records, each of which has an archive of its own. `find_control` gives such a
    row's id, None where the user sees no row at all; `afresh` asks for another one.
    """

    def __init__(
        self,
        client: ServiceNowClient,
        *,
        table: str,
        classes: Sequence[str],
        filter_text: str,
        find_control: FindControl,
    ) -> None:
        self._client = client
        self._table = table
        self._archives = [f"ar_{name}" for name in list(dict.fromkeys([table, *classes]))[:_MOST_CLASSES]]
        self._filter = filter_text
        self._find_control = find_control

    async def gone(self, external_ids: Sequence[str]) -> list[Gone]:
        """Of the given ids, those that the filter no longer shows. Raises `Refused` if the source cannot be trusted."""
        found: list[Gone] = []
        for chunk in in_chunks(external_ids, _CHUNK):
            found.extend(await self._chunk(chunk))
        return found

    async def _chunk(self, ids: Sequence[str]) -> list[Gone]:
        there = await self._visible(ids, self._filter)
        missing = [sys_id for sys_id in ids if sys_id not in there]
        if not missing:
            return []
        outside = await self._visible(missing, "") if self._filter else set()
        rest = [sys_id for sys_id in missing if sys_id not in outside]
        reasons: dict[str, Reason] = dict.fromkeys(outside, "out_of_filter")
        hidden = await self._hidden(rest)
        reasons.update(dict.fromkeys(hidden, "no_longer_visible"))
        archived = await self._archived([sys_id for sys_id in rest if sys_id not in hidden])
        reasons.update(dict.fromkeys(archived, "archived"))
        return [Gone(sys_id, reasons.get(sys_id, "deleted")) for sys_id in missing]

    async def _visible(self, ids: Sequence[str], filter_text: str) -> set[str]:
        """Those of the ids that are shown, spelt as they were given."""
        for attempt in range(_CONTROLS):
            control = await self._find_control(attempt > 0)
            shown = await self._shown(ids, filter_text, control)
            # The control may have been deleted or changed since it was found; several in a row were not.
            if control is None or control.casefold() in shown:
                return {sys_id for sys_id in ids if sys_id.casefold() in shown}
        raise Refused(
            "The source does not find a record by its sys_id although it lists it",
            "Check query ACLs and before-query business rules of the table",
        )

    async def _shown(self, ids: Sequence[str], filter_text: str, control: str | None) -> set[str]:
        """The ids that come back, case-folded."""
        asked = list(ids) if control is None or control in ids else [*ids, control]
        found = await self._client.find(self._table, asked, filter_text=filter_text)
        shown = {sys_id.casefold() for sys_id in found}
        if not shown <= {sys_id.casefold() for sys_id in asked}:
            raise ignored("sys_id")
        return shown

    async def _hidden(self, ids: Sequence[str]) -> set[str]:
        """Those that are still counted though not shown: access rules hide them. Halves until it is known for each."""
        if not ids:
            return set()
        count = await self._client.count(self._table, any_of("sys_id", ids))
        if count == 0:
            return set()
        if count >= len(ids):
            return set(ids)
        middle = len(ids) // 2
        return await self._hidden(ids[:middle]) | await self._hidden(ids[middle:])

    async def _archived(self, ids: Sequence[str]) -> set[str]:
        """Those that an archive holds; none where there is no archive or it may not be read."""
        kept: set[str] = set()
        for archive in list(self._archives):
            rest = [sys_id for sys_id in ids if sys_id.casefold() not in kept]
            if not rest:
                break
            try:
                kept.update(sys_id.casefold() for sys_id in await self._client.find(archive, rest))
            except Refused:
                self._archives.remove(archive)  # Nobody asks for it again.
        return {sys_id for sys_id in ids if sys_id.casefold() in kept}
