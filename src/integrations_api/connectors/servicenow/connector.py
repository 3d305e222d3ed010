"""ServiceNow, as the engine sees it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime, timedelta

import httpx

from integrations_api.connectors.http import one_line
from integrations_api.connectors.merge import merged
from integrations_api.connectors.records import (
    Check,
    ConnectorContext,
    FetchRequest,
    FetchStart,
    Gone,
    JsonObject,
    MappedDocument,
    Page,
    SourceCount,
    SourceRecord,
)
from integrations_api.connectors.retry import Patience, Time
from integrations_api.connectors.servicenow import gone, mapping
from integrations_api.connectors.servicenow.checks import Preflight
from integrations_api.connectors.servicenow.client import ServiceNowClient
from integrations_api.connectors.servicenow.conditions import checkable
from integrations_api.connectors.servicenow.config import BasicAuthConfig, OAuth2Config, ServiceNowConfig
from integrations_api.connectors.servicenow.lanes import Cursor, LaneReader, Since, Source
from integrations_api.connectors.servicenow.measure import Moment, TimeLiteral, clock_spread, measure, time_literal
from integrations_api.connectors.servicenow.query import Range, conditions_of, joined, lanes, stamp
from integrations_api.connectors.servicenow.verify import sys_id_of

_NOT_PROVED = (
    "Everything is read: what a time in a query means could not be proved. Give the user the time zone UTC, and a "
    "role that passes the query ACLs of sys_updated_on"
)
_ACCESS_POLICY_REMEDY = (
    "The instance gave a token and refuses it: link the OAuth application to a REST API access policy for the Table "
    "API, and check that the user it stands for is active and not locked out"
)
_PREFLIGHT_BUDGET = 10.0
_NO_STAMPS = "The time of the last change could not be read (sys_updated_on); the next sync reads everything again"


class ServiceNowConnector:
    """Reads one table by keyset on sys_id; docs/decisions/servicenow.md says why each step is there."""

    service = "ServiceNow"
    noun = "incidents"

    def __init__(
        self, *, http: httpx.AsyncClient, config: ServiceNowConfig, context: ConnectorContext, time: Time | None = None
    ) -> None:
        self._http = http
        self._config = config
        self._context = context
        self._patience = Patience(
            service=self.service, budget_seconds=context.retry_budget_seconds, on_wait=context.on_wait, time=time
        )
        self._client = self._client_with(self._patience)
        self._stack = AsyncExitStack()
        self._moment: Moment | None = None
        self._literal: TimeLiteral | None = None
        self._literal_is_known = False
        self._chosen = mapping.choose(config.fields)
        self._link = f"{config.base_url}/{config.table}.do?sys_id="

    async def __aenter__(self) -> "ServiceNowConnector":
        await self._stack.enter_async_context(self._http)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def start(self, request: FetchRequest) -> FetchStart:
        """Measures the next watermark and proves the time literal, before the first page."""
        with self._patience.first_contact():
            moment = await self._measured(afresh=True)
        notes = []
        if moment.newest is None and moment.total != 0:
            notes.append(_NO_STAMPS)
        since = None
        if request.mode == "incremental" and request.since is not None:
            literal = await self._time_literal()
            if literal is None and moment.total != 0:
                notes.append(_NOT_PROVED)
            else:
                since = _lower_bound(request.since, literal)
        spread = await clock_spread(self._client, self._config.table)
        return FetchStart(
            since=request.since if since else None,
            next_watermark=self._next_watermark(moment, spread),
            source_now=moment.now,
            lanes={name: Cursor((part,), since).as_json() for name, part in self._lanes(moment, since).items()},
            notes=notes,
        )

    def _next_watermark(self, moment: Moment, spread: timedelta) -> datetime | None:
        """No clock needs to be right, and where nodes disagree (`spread`) a later change may bear an earlier time."""
        if moment.newest is None:
            return None
        return min(moment.now, moment.newest) - self._overlap - spread

    @property
    def _overlap(self) -> timedelta:
        configured = self._config.overlap
        return timedelta(seconds=self._context.overlap_seconds) if configured is None else configured

    @property
    def _page_size(self) -> int:
        return self._config.page_size or self._context.page_size

    def _lanes(self, moment: Moment, since: Since | None) -> Mapping[str, Range]:
        """Several only for a full read that is worth it: each lane ends with a page that is not full."""
        is_large = moment.total is None or moment.total > 2 * self._page_size * self._context.concurrency
        return lanes(self._context.concurrency if since is None and is_large else 1)

    async def pages(self, start: FetchStart, lanes: Mapping[str, JsonObject | None]) -> AsyncGenerator[Page, None]:
        """Every page from `lanes` on, several lanes at once."""
        source = self._source(self._client)
        readers = [
            LaneReader(source=source, lane=lane, cursor=Cursor.from_json(cursor)).pages
            for lane, cursor in lanes.items()
            if cursor is not None
        ]
        async with aclosing(merged(readers, concurrency=self._context.concurrency)) as merged_pages:
            async for page in merged_pages:
                yield page
                del page  # See `merged`.

    def _source(self, client: ServiceNowClient) -> Source:
        checks = checkable(self._config.filter)
        columns = [
            *mapping.FIELDS,
            *(field.name for field in self._config.fields),
            *(each.column for clause in checks for each in clause),
        ]
        return Source(
            client=client,
            table=self._config.table,
            filter=self._config.filter,
            fields=list(dict.fromkeys(columns)),
            checks=checks,
            page_size=self._page_size,
        )

    def map(self, record: SourceRecord) -> MappedDocument:
        """Pure: the record as it is kept. Raises `RecordRejected`."""
        return mapping.map_record(record, self._link, self._chosen)

    def restore(self, raw: JsonObject) -> SourceRecord:
        """The record again, from its stored raw form. Raises `RecordRejected`."""
        return mapping.read_record(raw)

    async def count(self, created_until: datetime) -> SourceCount:
        """Rows of the filter created at or before a source time, before access rules."""
        moment = await self._measured()
        literal = await self._time_literal()
        if literal is None:
            # No rows may also be the answer to an order that may not be asked for: by sys_updated_on, say.
            if moment.total == 0 and await self._client.count(self._config.table, self._config.filter) == 0:
                return SourceCount(0)
            if moment.total and not moment.rows:
                return SourceCount(None, f"the source counts {moment.total} but shows this user none (access rules)")
            return SourceCount(None, "what a time in a query means to the source could not be proved")
        query = joined(self._config.filter, f"sys_created_on<={stamp(created_until, literal.shift)}")
        return SourceCount(await self._client.count(self._config.table, query))

    async def count_to_read(self, start: FetchStart) -> SourceCount:
        """Rows of the filter from the lower bound on, before access rules."""
        cursors = [Cursor.from_json(cursor) for cursor in start.lanes.values() if cursor is not None]
        since = cursors[0].since if cursors else None
        bound = f"sys_updated_on>={since.literal}" if since else ""
        return SourceCount(await self._client.count(self._config.table, joined(self._config.filter, bound)))

    async def deleted_since(self, since: datetime) -> Sequence[str] | None:
        """Ids that the delete log names, and those that may have left the filter; None where nothing is known."""
        moment = await self._measured()
        classes = await gone.classes_of(self._client, self._config.table, moment.rows)
        logged = await gone.deleted_since(self._client, classes, since)
        outside = await self._changed_outside(since)
        return logged if logged is None and not outside else [*(logged or ()), *outside]

    async def _changed_outside(self, since: datetime) -> Sequence[str]:
        """A row that leaves the filter (`active=true`) is in no page: it would stay as it was last read."""
        literal = await self._time_literal() if self._config.filter else None
        if literal is None:
            return []
        bound = f"sys_updated_on>={_lower_bound(since, literal).literal}"
        return await gone.changed_outside(
            self._client, self._config.table, filter_text=self._config.filter, bound=bound
        )

    async def confirm_gone(self, suspects: Mapping[str, str]) -> Sequence[Gone]:
        """Of the given ids, those that the filter no longer shows, each with the reason."""
        if not suspects:
            return []
        moment = await self._measured(afresh=True)
        confirmation = gone.Confirmation(
            self._client,
            table=self._config.table,
            classes=await gone.classes_of(self._client, self._config.table, moment.rows),
            filter_text=self._config.filter,
            find_control=self._find_control,
        )
        return await confirmation.gone(list(suspects))

    async def _find_control(self, afresh: bool) -> str | None:
        """The id of a row that can be seen; not the newest one, which is the likeliest to change."""
        moment = await self._measured(afresh=afresh)
        return sys_id_of(moment.rows[-1]) if moment.rows else None

    async def check(self) -> Sequence[Check]:
        """The preflight, with little patience: somebody is waiting."""
        budget = min(_PREFLIGHT_BUDGET, self._context.retry_budget_seconds)
        patience = Patience(service=self.service, budget_seconds=budget, time=self._patience.time)
        return await Preflight(self._source(self._client_with(patience)), self._context.concurrency, self._who).run()

    def _client_with(self, patience: Patience) -> ServiceNowClient:
        remedy = _ACCESS_POLICY_REMEDY if isinstance(self._config, OAuth2Config) else None
        return ServiceNowClient(self._http, patience=patience, slot=self._context.slot, sign_in_remedy=remedy)

    @property
    def _who(self) -> str:
        match self._config:
            case BasicAuthConfig():
                return f"as {one_line(self._config.username)}"
            case OAuth2Config():
                return f"by OAuth ({self._config.grant})"
            case _:
                return "by API key"

    async def _measured(self, *, afresh: bool = False) -> Moment:
        if self._moment is None or afresh:
            filter_text = self._config.filter
            self._moment = await measure(self._client, self._config.table, filter_text, conditions_of(filter_text))
        return self._moment

    async def _time_literal(self) -> TimeLiteral | None:
        if not self._literal_is_known:
            rows = (await self._measured()).rows
            if self._config.filter and not rows:  # All may have left it; any row of the table can prove it.
                rows = (await measure(self._client, self._config.table, "", ())).rows
            self._literal = await time_literal(self._client, self._config.table, rows)
            self._literal_is_known = True
        return self._literal


def _lower_bound(since: datetime, literal: TimeLiteral | None) -> Since:
    """Where a literal may be off, it reads back that much more, and rows twice as much older are no broken promise."""
    if literal is None:
        return Since(literal=stamp(since), floor=stamp(since))
    margin = literal.margin(since)
    return Since(literal=stamp(since - margin, literal.shift), floor=stamp(since - 2 * margin))
