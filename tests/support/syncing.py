"""An application's parts, a worker beside them, and a source in memory: enough to sync without HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker

from integrations_api.access.passwords import Passwords
from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.principal import Principal
from integrations_api.clock import Clock, utc_now
from integrations_api.components import Components
from integrations_api.connectors.records import Mode
from integrations_api.db.engine import is_lost_connection
from integrations_api.db.lost import DATABASE_LOST
from integrations_api.integrations.schemas import IntegrationIn
from integrations_api.integrations.service import IntegrationService
from integrations_api.sync.duties import SyncDuties
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import is_final
from integrations_api.sync.service import SyncService
from integrations_api.sync.sources import Sources
from integrations_api.wiring import assemble
from integrations_api.worker_wiring import build_worker
from tests.support import processes
from tests.support.applications import CHEAP, settings_for
from tests.support.sources import MemorySource, MemorySources

ADMIN = Principal(user_id=uuid4(), email="admin@example.com", permissions=ROLES[Role.ADMIN], credential="test")
PATIENCE = processes.PATIENCE
GLANCE = 0.1
"""Seconds between two looks whether a run is over: each costs the sync that it looks at some of its time."""
OFTEN = timedelta(minutes=1)
"""What a worker does as seldom as this is housework: all of it once at each start took a sixth of a short sync."""


@dataclass
class Bench:
    """What a test of syncs works with."""

    components: Components
    source: MemorySource
    patience: float = PATIENCE
    does_housework: bool = False
    workers: list[tuple[asyncio.Task[None], asyncio.Event]] = field(default_factory=list)

    @property
    def sessions(self) -> Any:
        return self.components[async_sessionmaker]

    async def integration(self, **changes: Any) -> UUID:
        """A stored ServiceNow integration."""
        config = {"url": "https://dev1.service-now.com", "username": "admin", "password": "secret", **changes}
        sent = IntegrationIn(service_name="ServiceNow", auth_type="basic_auth", config=config, is_active=True)
        shown = await self.components[IntegrationService].create(sent, principal=ADMIN)
        return UUID(str(shown.integration["id"]))

    async def start(self, integration_id: UUID, *, mode: Mode = "incremental") -> UUID:
        return await self.components[SyncService].start(integration_id, mode=mode, principal=ADMIN)

    async def sync(self, integration_id: UUID, *, mode: Mode = "incremental") -> SyncRun:
        """A run from start to end."""
        return await self.finished(await self.start(integration_id, mode=mode))

    async def finished(self, run_id: UUID) -> SyncRun:
        """The run, once it is over."""
        async with asyncio.timeout(self.patience):
            while not is_final((run := await self.run(run_id)).state):  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(GLANCE)
        return run

    async def run(self, run_id: UUID) -> SyncRun:
        """The run now. A test that cuts connections may cut the one that looks, which then looks again."""
        while True:
            try:
                return await self.components[SyncService].get_run(run_id)
            except (DBAPIError, *DATABASE_LOST) as error:
                if not is_lost_connection(error):
                    raise

    def start_worker(self) -> None:
        """One more worker, in this process."""
        worker = build_worker(self.components)
        if not self.does_housework:
            worker.duties[:] = [(name, every, duty) for name, every, duty in worker.duties if every < OFTEN]
        stopping = asyncio.Event()
        self.workers.append((asyncio.create_task(worker.run(stopping)), stopping))

    async def stop_workers(self) -> None:
        for _, stopping in self.workers:
            stopping.set()
        await asyncio.gather(*(task for task, _ in self.workers))
        self.workers.clear()

    async def events(self, run_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        """The run log, parsed."""
        rows = await self.rows("SELECT event, payload FROM sync_events WHERE run_id = :run ORDER BY seq", run=run_id)
        return [(row.event, json.loads(row.payload)) for row in rows]

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.sessions() as session:
            return list((await session.execute(text(statement), values)).all())

    async def change(self, statement: str, **values: Any) -> None:
        async with self.sessions.begin() as session:
            await session.execute(text(statement), values)

    async def somebody_waits(self) -> None:
        """Until a transaction waits for another one to end."""
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
        async with asyncio.timeout(self.patience):
            while not await self.rows(waiting):  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.02)

    def duties(self, *, raw_dump_path: Path | None = None, clock: Clock = utc_now) -> SyncDuties:
        """What a worker does now and then, to be done by hand."""
        return SyncDuties(
            sessions=self.sessions,
            sources=self.components[SyncService].sources,
            clock=clock,
            keep_events=timedelta(days=30),
            raw_dump_path=raw_dump_path,
        )

    async def titles(self, dataset_id: UUID, version: int | None = None) -> dict[str, str]:
        """number → title of what is live in a version, the head by default."""
        rows = await self.rows(
            """
            SELECT r.number, c.title FROM revisions r JOIN contents c ON c.id = r.content_id
            JOIN datasets d ON d.id = r.dataset_id
            WHERE r.dataset_id = :id AND r.change <> 'deleted'
              AND r.valid_from <= coalesce(:v, d.head) AND coalesce(:v, d.head) < r.valid_to
            """,
            id=dataset_id,
            v=version,
        )
        return {row.number: row.title for row in rows}


@asynccontextmanager
async def bench(
    database_url: str,
    *,
    workers: int = 1,
    in_memory: bool = True,
    sources: Sources | None = None,
    patience: float = PATIENCE,
    does_housework: bool = False,
    **settings: Any,
) -> AsyncIterator[Bench]:
    """Parts over the test's database, and workers; the source is in memory, `sources`, or what integrations name.

    Workers leave out what is done once a minute or less often, unless the test asks for it: it has tests of its own, is
    done beside the syncs of tests/faults, and by every worker that is a process.
    """
    chosen = settings_for(database_url, **{"raw_dump_path": "", **settings})
    source = MemorySource()
    chosen_sources = sources or (MemorySources(source) if in_memory else None)
    async with assemble(chosen, passwords=Passwords(CHEAP), sources=chosen_sources) as components:
        made = Bench(components=components, source=source, patience=patience, does_housework=does_housework)
        for _ in range(workers):
            made.start_worker()
        try:
            yield made
        finally:
            await made.stop_workers()
