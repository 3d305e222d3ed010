"""GitHub issues, as the engine sees them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime, timedelta

import httpx

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.github import gone, mapping
from integrations_api.connectors.github.answers import well_formed
from integrations_api.connectors.github.checks import Preflight
from integrations_api.connectors.github.client import GitHubClient
from integrations_api.connectors.github.config import LARGEST_PAGE, GitHubConfig
from integrations_api.connectors.github.reading import LANE, IssueReader
from integrations_api.connectors.github.survey import Survey, count_changed, count_created, survey
from integrations_api.connectors.github.walk import Cursor, read_stamp, stamp
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

_PREFLIGHT_BUDGET = 10.0


class GitHubConnector:
    """Reads the issues of some repositories; docs/decisions/github.md says why each step is there."""

    service = "GitHub"
    noun = "issues"

    def __init__(
        self, *, http: httpx.AsyncClient, config: GitHubConfig, context: ConnectorContext, time: Time | None = None
    ) -> None:
        self._http = http
        self._config = config
        self._context = context
        self._patience = Patience(
            service=self.service, budget_seconds=context.retry_budget_seconds, on_wait=context.on_wait, time=time
        )
        self._client = self._client_with(self._patience)
        self._stack = AsyncExitStack()

    def _client_with(self, patience: Patience) -> GitHubClient:
        return GitHubClient(self._http, addresses=self._config.addresses, patience=patience, slot=self._context.slot)

    async def __aenter__(self) -> "GitHubConnector":
        await self._stack.enter_async_context(self._http)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def start(self, request: FetchRequest) -> FetchStart:
        """Looks at every repository: what is there, and when one of its issues last changed."""
        with self._patience.first_contact():
            found = await survey(self._client, self._config)
        since = request.since if request.mode == "incremental" else None
        now = found.date or self._patience.time.now()
        return FetchStart(
            since=since,
            next_watermark=self._next_watermark(found, now),
            source_now=now,
            lanes={LANE: _cursor(found, since).as_json()},
            notes=found.notes(),
        )

    def _next_watermark(self, found: Survey, now: datetime) -> datetime | None:
        """Not later than what was seen: no clock needs to be right."""
        if found.newest is None:
            return None
        return min(now, read_stamp(found.newest)) - self._overlap

    @property
    def _overlap(self) -> timedelta:
        configured = self._config.overlap
        return timedelta(seconds=self._context.overlap_seconds) if configured is None else configured

    @property
    def _page_size(self) -> int:
        return min(self._config.page_size or self._context.page_size, LARGEST_PAGE)

    async def pages(self, start: FetchStart, lanes: Mapping[str, JsonObject | None]) -> AsyncGenerator[Page, None]:
        """Every page from `lanes` on, one request after another: GitHub punishes concurrency."""
        cursor = lanes.get(LANE)
        if cursor is None:
            return
        by_owner = self._config.owner is not None
        reader = IssueReader(self._client, Cursor.from_json(cursor), page_size=self._page_size, by_owner=by_owner)
        async with aclosing(reader.pages()) as pages:
            async for page in pages:
                yield page

    def map(self, record: SourceRecord) -> MappedDocument:
        """Pure: the record as it is kept. Raises `RecordRejected`."""
        return mapping.map_record(record)

    def restore(self, raw: JsonObject) -> SourceRecord:
        """The record again, from its stored raw form. Raises `RecordRejected`."""
        return mapping.read_record(raw)

    async def count(self, created_until: datetime) -> SourceCount:
        """Issues created at or before a source time, as GraphQL counts them."""
        return await self._counted(lambda names: count_created(self._client, names, stamp(created_until)))

    async def count_to_read(self, start: FetchStart) -> SourceCount:
        """Issues that changed from the lower bound on."""
        if start.since is None:
            return await self.count(start.source_now)
        since = stamp(start.since)
        return await self._counted(lambda names: count_changed(self._client, names, since))

    async def _counted(self, count: Callable[[Sequence[str]], Awaitable[int]]) -> SourceCount:
        try:
            found = await survey(self._client, self._config)
            with well_formed():
                return SourceCount(await count([one.name for one in found.readable]), only_visible=True)
        except Refused as error:
            return SourceCount(None, f"GitHub did not count its issues: {error.message}")

    async def deleted_since(self, since: datetime) -> Sequence[str] | None:
        """None: GitHub keeps no log of deleted issues that can be asked for."""
        return None

    async def confirm_gone(self, suspects: Mapping[str, str]) -> Sequence[Gone]:
        """Of the suspects, those that are gone, each with the reason."""
        if not suspects:
            return []
        found = await survey(self._client, self._config)
        with well_formed():
            return await gone.confirm(self._client, suspects, {one.name.casefold() for one in found.readable})

    async def check(self) -> Sequence[Check]:
        """The preflight, with little patience: somebody is waiting."""
        budget = min(_PREFLIGHT_BUDGET, self._context.retry_budget_seconds)
        patience = Patience(service=self.service, budget_seconds=budget, time=self._patience.time)
        return await Preflight(self._client_with(patience), self._config, self._page_size).run()


def _cursor(found: Survey, since: datetime | None) -> Cursor:
    """Where a fetch begins. An incremental one passes by repositories where nothing has changed since."""
    lower = stamp(since) if since is not None else None
    names = [one.name for one in found.readable if lower is None or (one.newest is not None and one.newest >= lower)]
    return Cursor.over(names, lower)
