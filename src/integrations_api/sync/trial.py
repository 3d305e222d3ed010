"""Before a sync: does the source answer as it must, and what would be read? Nothing is written but the audit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import Struct

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.audit import service as audit
from integrations_api.clock import Clock
from integrations_api.connectors.errors import ConnectorError, Unreachable
from integrations_api.connectors.preflight import MOST_SECONDS
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import Check, FetchRequest, FetchStart, Mode, SourceRecord, ignore_wait
from integrations_api.db.engine import Sessions
from integrations_api.errors import Unavailable
from integrations_api.integrations.as_if import as_if_edited, as_if_stored
from integrations_api.integrations.for_sync import IntegrationForSync, IntegrationReader
from integrations_api.integrations.schemas import IntegrationIn
from integrations_api.knowledge.comparing import field_changes
from integrations_api.knowledge.documents import StagedRecord, plain
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.sync.intake import judged
from integrations_api.sync.runs import choose_mode
from integrations_api.sync.sources import Sources

Choose = Callable[[Sequence[SourceRecord]], Awaitable[Sequence[SourceRecord]]]

SHOWN = 5
"""Records a preview shows."""
RETRY_SECONDS = 10.0
"""How long one request may be retried here: somebody is waiting for the answer."""


class Preview(Struct, frozen=True):
    """What the next sync would do: how many records it would read (None: not known), and the first few of them."""

    mode: Mode
    to_read: int | None
    notes: Sequence[str]
    records: Sequence[StagedRecord]


class Effect(Struct, frozen=True):
    """What an edit would make of one record: the incident as it is stored now, if it is, and the record mapped anew.

    `fields` are those in which the two differ, as a diff names them.
    """

    before: Mapping[str, Any] | None
    after: StagedRecord
    fields: Sequence[str]


class EditPreview(Struct, frozen=True):
    """What the first sync after an edit would do: it reads everything where the edit makes it another source."""

    mode: Mode
    to_read: int | None
    notes: Sequence[str]
    effects: Sequence[Effect]


class Trial:
    """Opens a source with little patience, and takes no longer than `MOST_SECONDS`."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        integrations: IntegrationReader,
        knowledge: KnowledgeService,
        sources: Sources,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._integrations = integrations
        self._knowledge = knowledge
        self._sources = sources
        self._clock = clock

    async def test_unsaved(self, sent: IntegrationIn, *, principal: Principal) -> Sequence[Check]:
        """The preflight of an integration that is not stored. Raises `InvalidInput`."""
        integration = as_if_stored(sent, now=self._clock())
        await self._record("integration.test", integration, principal, stored=False)
        return await self._test(integration)

    async def test(self, integration_id: UUID, *, principal: Principal) -> Sequence[Check]:
        """The preflight of a stored integration. Raises `NotFound`, and `InvalidInput` where its config has gaps."""
        integration = await self._load(integration_id)
        await self._record("integration.test", integration, principal, stored=True)
        return await self._test(integration)

    async def preview(self, integration_id: UUID, *, principal: Principal) -> Preview:
        """Shows incidents, and so raises `PermissionDenied` without knowledge.view.

        Raises `NotFound`, `InvalidInput`, and `Unavailable` with the source's own trouble in words.
        """
        principal.demand(Permission.KNOWLEDGE_VIEW)
        integration = await self._load(integration_id)
        await self._record("integration.preview", integration, principal, stored=True)
        mode = choose_mode(asked="incremental", watermark=integration.watermark, needs_full=integration.needs_full)
        return await self._read(integration, FetchRequest(mode=mode, since=integration.watermark), _first)

    async def preview_edit(self, integration_id: UUID, sent: IntegrationIn, *, principal: Principal) -> EditPreview:
        """What an edit that is not stored would make of records that are.

        Raises what `preview` raises.
        """
        principal.demand(Permission.KNOWLEDGE_VIEW)
        before = await self._load(integration_id)
        integration = as_if_edited(before, sent, now=self._clock())
        await self._record("integration.preview", integration, principal, stored=True)
        stored: dict[str, dict[str, Any]] = {}

        async def stored_ones(records: Sequence[SourceRecord]) -> Sequence[SourceRecord]:
            found = await self._knowledge.at_head(integration_id, [record.external_id for record in records])
            stored.update(found)
            return sorted(records, key=lambda record: record.external_id not in found)[:SHOWN]

        # From the beginning: what changed last is not all that the edit is about.
        read = await self._read(integration, FetchRequest(mode="full", since=None), stored_ones)
        goes_on = before.fingerprint == integration.fingerprint and not before.needs_full and before.watermark
        return EditPreview(
            mode="incremental" if goes_on else "full",
            to_read=read.to_read,
            notes=read.notes,
            effects=[_effect(stored.get(record.source.external_id), record) for record in read.records],
        )

    async def _read(self, integration: IntegrationForSync, request: FetchRequest, choose: Choose) -> Preview:
        self._sources.check(integration)
        try:
            async with _in_time(), self._open(integration) as connector:
                start = await connector.start(request)
                counted = await connector.count_to_read(start)
                chosen = await choose(await _first_records(connector, start))
                staged = [await judged(record, connector) for record in chosen]
        except ConnectorError as error:
            source = self._sources.describe(integration)
            advice = f". {error.remedy}" if error.remedy else ""
            raise Unavailable(f"Failed to fetch {source.noun} from {source.name}: {error.message}{advice}") from error
        mode: Mode = "full" if start.since is None else "incremental"
        return Preview(mode=mode, to_read=counted.total, notes=start.notes, records=staged)

    async def _load(self, integration_id: UUID) -> IntegrationForSync:
        async with self._sessions() as session:
            return await self._integrations.load(session, integration_id)

    async def _record(
        self, action: str, integration: IntegrationForSync, principal: Principal, *, stored: bool
    ) -> None:
        """Before anything is sent: where this service was made to go stays known, whatever comes of it."""
        details = {"service_name": integration.service_name, "host": _host(integration)}
        async with self._sessions.begin() as session:
            await audit.record(
                session,
                action=action,
                object_type="integration",
                object_id=integration.id if stored else None,
                principal=principal,
                details=details,
            )

    async def _test(self, integration: IntegrationForSync) -> Sequence[Check]:
        self._sources.check(integration)
        try:
            async with self._open(integration) as connector:
                return await connector.check()
        except ConnectorError as error:
            return [Check(name="reachable", status="failed", seen=error.message, remedy=error.remedy)]

    def _open(self, integration: IntegrationForSync) -> AbstractAsyncContextManager[Connector]:
        return self._sources.open(integration, on_wait=ignore_wait, retry_seconds=RETRY_SECONDS)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    """Raises `Unreachable` when it took longer than `MOST_SECONDS`."""
    try:
        async with asyncio.timeout(MOST_SECONDS):
            yield
    except TimeoutError:
        raise Unreachable(f"It took longer than {MOST_SECONDS:.0f} s") from None


def _host(integration: IntegrationForSync) -> str | None:
    url = integration.public_config.get("url")
    try:
        return urlsplit(url).hostname if isinstance(url, str) else None  # Never the user or password of a URL.
    except ValueError:
        return None


async def _first_records(connector: Connector, start: FetchStart) -> list[SourceRecord]:
    found: list[SourceRecord] = []
    async with aclosing(connector.pages(start, start.lanes)) as pages:
        async for page in pages:
            found.extend(page.records)
            if len(found) >= SHOWN:
                break
    return found


async def _first(records: Sequence[SourceRecord]) -> Sequence[SourceRecord]:
    return records[:SHOWN]


def _effect(before: Mapping[str, Any] | None, after: StagedRecord) -> Effect:
    if before is None or after.document is None:
        return Effect(before, after, [])
    return Effect(before, after, [change.field for change in field_changes(before, plain(after.document))])
