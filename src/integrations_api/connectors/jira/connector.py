"""Jira, as the engine sees it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime, timedelta
from functools import partial

import httpx
from msgspec.structs import replace

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.jira import mapping
from integrations_api.connectors.jira.checks import Preflight
from integrations_api.connectors.jira.client import LARGEST_PAGE, JiraClient
from integrations_api.connectors.jira.comments import Comments
from integrations_api.connectors.jira.config import JiraConfig
from integrations_api.connectors.jira.gone import Confirmation
from integrations_api.connectors.jira.jql import MINUTE, ORDER, joined, millis, whole_minute
from integrations_api.connectors.jira.measure import Moment, measure, sign_in, times_are_heeded
from integrations_api.connectors.jira.reading import Cursor, Reader, created_of
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

INDEX_LAG = timedelta(minutes=15)
"""How far back an incremental sync reads at least, where its config says nothing: searches find a change late."""

_NOT_PROVED = (
    "Everything is read: what a time in a query means could not be proved. Ask the Jira administrator to rebuild the "
    "search index"
)
_PREFLIGHT_BUDGET = 10.0
_TOLD_EVERY = 30.0
"""Seconds: a million issues are two hundred questions, which may take longer than a run may stand still."""


class JiraConnector:
    """Reads issues in the order of their creation; see `reading.py` for why each step is there."""

    service = "Jira"
    noun = "issues"

    def __init__(
        self,
        *,
        http: httpx.AsyncClient,
        config: JiraConfig,
        context: ConnectorContext,
        gateway_for: str = "",
        time: Time | None = None,
    ) -> None:
        self._http = http
        self._config = config
        self._context = context
        self._scope = config.scope
        self._patience = Patience(
            service=self.service, budget_seconds=context.retry_budget_seconds, on_wait=context.on_wait, time=time
        )
        self._open_client = partial(JiraClient, http, slot=context.slot, gateway_for=gateway_for)
        self._client = self._open_client(patience=self._patience)
        self._stack = AsyncExitStack()
        self._moment: Moment | None = None
        self._is_heeded: bool | None = None

    async def __aenter__(self) -> "JiraConnector":
        await self._stack.enter_async_context(self._http)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    # ---- reading

    async def start(self, request: FetchRequest) -> FetchStart:
        """Signs in, measures the next watermark and proves the time literal, before the first page."""
        with self._patience.first_contact():
            await self._client.flavour()
            await sign_in(self._client)
            moment = await self._measured(afresh=True)
        is_heeded = await self._times_are_heeded()
        is_bounded = is_heeded or not moment.issues
        since = request.since if request.mode == "incremental" and is_bounded else None
        first = Cursor(since=whole_minute(millis(since)) if since else None, moves=is_heeded)
        return FetchStart(
            since=since,
            next_watermark=min(moment.now, moment.newest) - self._overlap if moment.newest else None,
            source_now=moment.now,
            lanes={name: cursor.as_json() for name, cursor in (await self._lanes(first)).items()},
            notes=[] if is_bounded else [_NOT_PROVED],
        )

    @property
    def _overlap(self) -> timedelta:
        configured = self._config.overlap
        return max(INDEX_LAG, timedelta(seconds=self._context.overlap_seconds)) if configured is None else configured

    @property
    def _page_size(self) -> int:
        return min(self._config.page_size or self._context.page_size, LARGEST_PAGE)

    @property
    def _fields(self) -> list[str]:
        return [*mapping.FIELDS, *self._config.fields]

    async def _lanes(self, whole: Cursor) -> Mapping[str, Cursor]:
        """Stretches of creation of the same length; several only for a full read that is worth it."""
        count = self._context.concurrency
        if count == 1 or whole.since is not None or not whole.moves:
            return {"all": whole}
        total = await self._client.estimate(joined(self._scope))
        oldest = await self._client.ask(f"{joined(self._scope)} {ORDER}", fields=["created"], limit=1)
        first = created_of(oldest.issues[0]) if oldest.issues else None
        if first is None or (total is not None and total <= 2 * self._page_size * count):
            return {"all": whole}
        now = millis((await self._measured()).now)
        bounds = [whole_minute(first + (now - first) * part // count) for part in range(1, count)]
        lows, highs = [None, *bounds], [*bounds, None]
        return {
            f"{n + 1} of {count}": replace(whole, anchor=low, until=high)
            for n, (low, high) in enumerate(zip(lows, highs, strict=True))
        }

    async def pages(self, start: FetchStart, lanes: Mapping[str, JsonObject | None]) -> AsyncGenerator[Page, None]:
        """Every page from `lanes` on, several lanes at once."""
        readers = [
            partial(self._lane, lane, Cursor.from_json(cursor), millis(start.source_now))
            for lane, cursor in lanes.items()
            if cursor is not None
        ]
        async with aclosing(merged(readers, concurrency=self._context.concurrency)) as merged_pages:
            async for page in merged_pages:
                yield page

    async def _lane(self, lane: str, cursor: Cursor, as_of: int) -> AsyncGenerator[Page, None]:
        comments = Comments(self._client, concurrency=self._context.concurrency)
        reader = Reader(self._client, scope=self._scope, fields=self._fields, page_size=self._page_size, as_of=as_of)
        async with aclosing(reader.pages(cursor)) as pages:
            async for issues, following in pages:
                await comments.complete(issues)
                records = [mapping.read_issue(issue) for issue in issues]
                yield Page(records, lane, following.as_json() if following else None)

    def map(self, record: SourceRecord) -> MappedDocument:
        """Pure: the issue as it is kept. Raises `RecordRejected`."""
        return mapping.map_issue(record, site=self._config.base_url, custom=self._config.fields)

    def restore(self, raw: JsonObject) -> SourceRecord:
        """The record again, from its stored raw form. Raises `RecordRejected`."""
        return mapping.read_issue(raw)

    # ---- counting

    async def count(self, created_until: datetime) -> SourceCount:
        """Issues that the user sees, created at or before a source time; counted one by one where no total is told."""
        until = millis(created_until)
        if not await self._times_are_heeded():
            return SourceCount(len(await self._sweep(Cursor(moves=False), until)), only_visible=True)
        if await self._client.flavour() == "Cloud":
            return SourceCount(len(await self._sweep(Cursor(), until)), only_visible=True)
        minute = whole_minute(until)
        before = await self._client.estimate(joined(self._scope, f"created < {minute}"))
        assert before is not None  # Data Center tells its totals
        rest = await self._sweep(Cursor(anchor=minute, until=minute + MINUTE), until)
        return SourceCount(before + len(rest), only_visible=True)

    async def _sweep(self, cursor: Cursor, until: int, scope: str | None = None) -> set[str]:
        """The ids of what was created until then, and nothing else of it. A query's own bound is precise to the minute
        only.
        """
        scope = self._scope if scope is None else scope
        reader = Reader(self._client, scope=scope, fields=["created"], page_size=LARGEST_PAGE, as_of=until)
        found: set[str] = set()
        told = self._patience.time.monotonic()
        async with aclosing(reader.pages(cursor)) as pages:
            async for issues, _ in pages:
                found.update(str(i.get("id")) for i in issues if (at := created_of(i)) is not None and at <= until)
                if (now := self._patience.time.monotonic()) > told + _TOLD_EVERY:
                    await self._patience.tell(f"Looked through {len(found)} {self.noun}...")
                    told = now
        return found

    async def count_to_read(self, start: FetchStart) -> SourceCount:
        """About how many issues there are from the lower bound on; exact on Data Center."""
        cursors = [Cursor.from_json(cursor) for cursor in start.lanes.values() if cursor is not None]
        since = cursors[0].since if cursors else None
        total = await self._client.estimate(joined(self._scope, f"updated >= {since}" if since is not None else ""))
        return SourceCount(total, None if total is not None else "Jira does not tell how many issues there are")

    # ---- what vanished

    async def deleted_since(self, since: datetime) -> Sequence[str] | None:
        """Issues that may have left projects or filter. Jira keeps no log of deletions.

        What leaves them (`statusCategory != Done`) is in no page: it would stay as it was last read.
        """
        if not self._scope or not await self._times_are_heeded():
            return None
        changed, until = Cursor(since=whole_minute(millis(since))), millis((await self._measured()).now)
        try:
            everywhere = await self._sweep(changed, until, scope="")
            return sorted(everywhere - await self._sweep(changed, until)) if everywhere else []
        except Refused:
            return None  # A full sync finds out.

    async def confirm_gone(self, suspects: Mapping[str, str]) -> Sequence[Gone]:
        """Of the given ids, those that the filter no longer shows, each with the reason."""
        if not suspects:
            return []
        await sign_in(self._client)
        confirmation = Confirmation(self._client, scope=self._scope, concurrency=self._context.concurrency)
        return await confirmation.gone(suspects)

    # ---- trying

    async def check(self) -> Sequence[Check]:
        """The preflight, with little patience: somebody is waiting."""
        budget = min(_PREFLIGHT_BUDGET, self._context.retry_budget_seconds)
        patience = Patience(service=self.service, budget_seconds=budget, time=self._patience.time)
        return await Preflight(
            client=self._open_client(patience=patience),
            scope=self._scope,
            fields=self._fields,
            custom=self._config.fields,
            page_size=self._page_size,
            concurrency=self._context.concurrency,
        ).run()

    async def _measured(self, *, afresh: bool = False) -> Moment:
        if self._moment is None or afresh:
            self._moment = await measure(self._client, self._scope)
        return self._moment

    async def _times_are_heeded(self) -> bool:
        if self._is_heeded is None:
            issues = (await self._measured()).issues
            if self._scope and not issues:  # All may have left it; any issue of the site can prove it.
                issues = (await measure(self._client, "")).issues
            self._is_heeded = await times_are_heeded(self._client, issues)
        return self._is_heeded
