"""The composition root: every part is built here, once, for the application, the worker and the command line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.access.passwords import Passwords
from integrations_api.access.service import AccessService
from integrations_api.access.tokens import Tokens
from integrations_api.api.components import Components
from integrations_api.clock import Clock, utc_now
from integrations_api.connectors.records import ConnectorContext
from integrations_api.db.engine import asyncpg_dsn, create_engine, create_sessions
from integrations_api.db.migrations import current_revision, head_revision
from integrations_api.db.notify import Listener
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import ConfigurationError
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.queue.worker import QueueWorker
from integrations_api.settings import Settings
from integrations_api.sync.control import RunControl
from integrations_api.sync.engine import EngineOptions
from integrations_api.sync.executor import ENTRYPOINT, ExecutorOptions, RunExecutor
from integrations_api.sync.publishing import Brake
from integrations_api.sync.registered import RegisteredSources
from integrations_api.sync.repository import CHANNEL
from integrations_api.sync.service import SyncService
from integrations_api.sync.sources import Sources
from integrations_api.sync.stream import RunStreams
from integrations_api.sync.tickets import Tickets
from integrations_api.vault.bootstrap import resolve_secrets
from integrations_api.vault.cipher import Vault


@asynccontextmanager
async def assemble(
    settings: Settings,
    *,
    database_url: str | None = None,
    clock: Clock = utc_now,
    passwords: Passwords | None = None,
    sources: Sources | None = None,
) -> AsyncIterator[Components]:
    """All parts, ready to use, and closed in the end.

    `database_url` is that of the bundled PostgreSQL once it runs; without it DATABASE_URL is used. Tests give
    cheap `passwords`, `sources` in memory and a clock of their own. Does not look at the schema: see `require_schema`.
    Raises `ConfigurationError` for secrets that are missing or unsafe.
    """
    secrets = resolve_secrets(settings)
    components = Components()
    components.add(settings)
    engine = create_engine(_resolved_url(settings, database_url), pool_size=settings.database_pool_size)
    try:
        components.add(engine)
        sessions = components.add(create_sessions(engine), as_=async_sessionmaker)
        vault = components.add(Vault(secrets.keyring))
        access = components.add(
            AccessService(
                sessions=sessions,
                tokens=Tokens(secret=secrets.secret_key.get_secret_value(), clock=clock),
                passwords=passwords or Passwords(),
                token_lifetime=timedelta(minutes=settings.access_token_minutes),
                clock=clock,
            )
        )
        integrations = components.add(IntegrationService(sessions=sessions, vault=vault, clock=clock))
        components.add(KnowledgeService(sessions=sessions))
        sources = sources or registered_sources(settings)
        components.add(SyncService(sessions=sessions, integrations=integrations, sources=sources, clock=clock))
        components.add(RunControl(sessions=sessions, integrations=integrations, clock=clock))
        components.add(Tickets(sessions=sessions, access=access, clock=clock))
        components.add(RunStreams(sessions=sessions, ping=settings.stream_ping))
        yield components
    finally:
        await engine.dispose()


@asynccontextmanager
async def listening(components: Components) -> AsyncIterator[None]:
    """Keeps the event streams of this process awake by the database's notifications."""
    dsn = asyncpg_dsn(components[AsyncEngine].url)
    async with Listener(dsn=dsn, channel=CHANNEL, on_nudge=components[RunStreams].nudge):
        yield


def build_worker(components: Components, *, clock: Clock = utc_now) -> QueueWorker:
    """A worker over the same parts; nothing runs until its `run`."""
    settings = components[Settings]
    worker_id = uuid4()
    executor = RunExecutor(
        worker_id=worker_id,
        sessions=components[async_sessionmaker],
        integrations=components[IntegrationService],
        sources=components[SyncService].sources,
        clock=clock,
        options=executor_options(settings),
    )
    worker = QueueWorker(
        id=worker_id,
        dsn=asyncpg_dsn(components[AsyncEngine].url),
        sessions=components[async_sessionmaker],
        concurrency=settings.worker_concurrency,
        busy_with=executor.active_runs,
        on_stop=executor.stop,
        on_leave=executor.leave,
    )
    worker.handlers[ENTRYPOINT] = executor.carry_out
    worker.duties += [("watch", timedelta(seconds=1), executor.watch), ("sweep", timedelta(seconds=5), executor.sweep)]
    return worker


def executor_options(settings: Settings) -> ExecutorOptions:
    """What the settings say about carrying out runs."""
    path = settings.raw_dump_path
    return ExecutorOptions(
        stall_timeout=settings.sync_stall_timeout,
        max_attempts=settings.sync_max_attempts,
        engine=EngineOptions(
            batch_size=settings.sync_batch_size,
            chunk_size=settings.sync_chunk_size,
            raw_dump_path=Path(path) if path else None,
            brake=Brake(share=settings.sync_delete_brake, minimum=settings.sync_delete_brake_minimum),
        ),
    )


def registered_sources(settings: Settings) -> Sources:
    """The real services, reached through the egress guard."""
    context = ConnectorContext(
        page_size=settings.sync_page_size,
        concurrency=settings.sync_fetch_concurrency,
        overlap_seconds=settings.sync_overlap.total_seconds(),
        retry_budget_seconds=settings.sync_retry_budget.total_seconds(),
    )
    return RegisteredSources(context=context, policy=egress_policy(settings))


def egress_policy(settings: Settings) -> EgressPolicy:
    """What the settings say about going out."""
    return EgressPolicy(
        allowed_hosts=settings.egress_allowed_hosts,
        ca_file=settings.egress_ca_file,
        timeout=settings.egress_timeout,
        max_response_bytes=settings.egress_max_response_bytes,
    )


async def require_schema(engine: AsyncEngine) -> None:
    """Raises `ConfigurationError` unless the database is at this release's schema."""
    async with engine.connect() as connection:
        found = await current_revision(connection)
    if found != head_revision():
        raise ConfigurationError(
            f"The database schema is at {found or 'nothing'}, this release needs {head_revision()}: "
            "run `integrations-api migrate`"
        )


def _resolved_url(settings: Settings, database_url: str | None) -> str:
    if database_url is not None:
        return database_url
    if settings.database_url is None:
        raise ConfigurationError("No database: set DATABASE_URL, or start the bundled one first")
    return settings.database_url.get_secret_value()
