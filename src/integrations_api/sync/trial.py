"""Before a sync: does the source answer as it must, and what would be read? Nothing is written but the audit."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from integrations_api.access.principal import Principal
from integrations_api.audit import service as audit
from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import Check, FetchRequest, FetchStart, SourceRecord, ignore_wait
from integrations_api.db.engine import Sessions
from integrations_api.errors import Unavailable
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.integrations.schemas import IntegrationIn
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge.documents import StagedRecord
from integrations_api.sync.intake import judge
from integrations_api.sync.runs import choose_mode
from integrations_api.sync.sources import Sources

SHOWN = 5
"""Records a preview shows."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the next sync would do: how many records it would read (None: not known), and the first few of them."""

    mode: str
    to_read: int | None
    notes: Sequence[str]
    records: Sequence[StagedRecord]


class Trial:
    """Opens a source with little patience: somebody is waiting for the answer."""

    def __init__(self, *, sessions: Sessions, integrations: IntegrationService, sources: Sources) -> None:
        self._sessions = sessions
        self._integrations = integrations
        self._sources = sources

    async def test_unsaved(self, sent: IntegrationIn, *, principal: Principal) -> Sequence[Check]:
        """The preflight of an integration that is not stored. Raises `InvalidInput`."""
        integration = self._integrations.as_if_stored(sent)
        await self._record("integration.test", integration, principal, stored=False)
        return await self._test(integration)

    async def test(self, integration_id: UUID, *, principal: Principal) -> Sequence[Check]:
        """The preflight of a stored integration. Raises `NotFound`, and `InvalidInput` where its config has gaps."""
        integration = await self._load(integration_id)
        await self._record("integration.test", integration, principal, stored=True)
        return await self._test(integration)

    async def preview(self, integration_id: UUID, *, principal: Principal) -> Preview:
        """Raises `NotFound`, `InvalidInput`, and `Unavailable` with the source's own trouble in words."""
        integration = await self._load(integration_id)
        await self._record("integration.preview", integration, principal, stored=True)
        mode = choose_mode(asked="incremental", watermark=integration.watermark, needs_full=integration.needs_full)
        self._sources.check(integration)
        try:
            async with self._sources.open(integration, on_wait=ignore_wait) as connector:
                start = await connector.start(FetchRequest(mode=mode, since=integration.watermark))
                counted = await connector.count_to_read(start)
                first = await _first_records(connector, start)
                staged = [judge(record, connector) for record in first]
        except ConnectorError as error:
            source = self._sources.describe(integration)
            raise Unavailable(f"Failed to fetch {source.noun} from {source.name}: {error.message}") from error
        mode = "full" if start.since is None else "incremental"
        return Preview(mode=mode, to_read=counted.total, notes=start.notes, records=staged)

    async def _load(self, integration_id: UUID) -> IntegrationForSync:
        async with self._sessions() as session:
            return await self._integrations.load_for_sync(session, integration_id)

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
            async with self._sources.open(integration, on_wait=ignore_wait) as connector:
                return await connector.check()
        except ConnectorError as error:
            return [Check(name="reachable", status="failed", seen=error.message, remedy=error.remedy)]


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
    return found[:SHOWN]
