"""Before a sync: does the source answer as it must, and what would be read? Nothing is written."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

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

    async def test_unsaved(self, sent: IntegrationIn) -> Sequence[Check]:
        """The preflight of an integration that is not stored. Raises `InvalidInput`."""
        return await self._test(self._integrations.as_if_stored(sent))

    async def test(self, integration_id: UUID) -> Sequence[Check]:
        """The preflight of a stored integration. Raises `NotFound`, and `InvalidInput` where its config has gaps."""
        return await self._test(await self._load(integration_id))

    async def preview(self, integration_id: UUID) -> Preview:
        """Raises `NotFound`, `InvalidInput`, and `Unavailable` with the source's own trouble in words."""
        integration = await self._load(integration_id)
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

    async def _test(self, integration: IntegrationForSync) -> Sequence[Check]:
        self._sources.check(integration)
        try:
            async with self._sources.open(integration, on_wait=ignore_wait) as connector:
                return await connector.check()
        except ConnectorError as error:
            return [Check(name="reachable", status="failed", seen=error.message, remedy=error.remedy)]


async def _first_records(connector: Connector, start: FetchStart) -> list[SourceRecord]:
    found: list[SourceRecord] = []
    async with aclosing(connector.pages(start, start.lanes)) as pages:
        async for page in pages:
            found.extend(page.records)
            if len(found) >= SHOWN:
                break
    return found[:SHOWN]
