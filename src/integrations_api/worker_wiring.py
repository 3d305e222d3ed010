"""The composition root of a worker: what carries out syncs, over the parts that `wiring` has assembled.

Apart from it, for the API's process imports nothing of this: not the engine, not PgQueuer.
"""

from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.access.rates import Rates
from integrations_api.access.throttle import SignInThrottle
from integrations_api.audit.sealing import AuditSealer
from integrations_api.clock import utc_now
from integrations_api.components import Components
from integrations_api.db.engine import asyncpg_dsn
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.knowledge.retention import Retention
from integrations_api.oauth.service import OAuthService
from integrations_api.queue.tidying import QueueTidying
from integrations_api.queue.worker import QueueWorker, brief, by_the_eldest
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.settings import Settings
from integrations_api.sync.duties import SyncDuties
from integrations_api.sync.engine import EngineOptions
from integrations_api.sync.executor import ExecutorOptions, RunExecutor
from integrations_api.sync.publishing import Brake
from integrations_api.sync.runs import ENTRYPOINT
from integrations_api.sync.service import SyncService
from integrations_api.sync.tickets import Tickets


def build_worker(components: Components) -> QueueWorker:
    """A worker over the same parts; nothing runs until its `run`."""
    settings = components[Settings]
    worker_id = uuid4()
    executor = RunExecutor(
        worker_id=worker_id,
        sessions=components[async_sessionmaker],
        integrations=components[IntegrationReader],
        sources=components[SyncService].sources,
        clock=utc_now,
        options=executor_options(settings),
    )
    worker = QueueWorker(
        id=worker_id,
        dsn=asyncpg_dsn(components[AsyncEngine].url),
        sessions=components[async_sessionmaker],
        concurrency=settings.worker_concurrency,
        silence=settings.worker_silence,
        busy_with=executor.active_runs,
        on_stop=executor.stop,
        on_leave=executor.leave,
    )
    worker.handlers[ENTRYPOINT] = executor.carry_out
    duties = SyncDuties(
        sessions=components[async_sessionmaker],
        sources=components[SyncService].sources,
        clock=utc_now,
        keep_events=settings.sync_keep_events,
        raw_dump_path=raw_dump_path(settings),
    )
    once_of_all = partial(by_the_eldest, worker_id=worker_id, sessions=components[async_sessionmaker])
    tidying = QueueTidying(sessions=components[async_sessionmaker], clock=utc_now)
    worker.duties += [
        ("watch", timedelta(seconds=1), brief(executor.watch)),
        ("sweep", timedelta(seconds=5), brief(executor.sweep)),
        ("start_due", timedelta(seconds=5), brief(duties.start_due)),
        ("tidy_queue", timedelta(minutes=10), tidying.forget),
        ("forget_old_events", timedelta(hours=1), duties.forget_old_events),
        ("forget_old_plans", timedelta(hours=1), once_of_all(duties.forget_old_plans)),
        ("prune_knowledge", timedelta(minutes=10), components[Retention].prune),
        ("start_remap", timedelta(seconds=30), duties.start_remap),
        ("forget_raw_file", timedelta(minutes=1), duties.forget_raw_file),
        ("seal_audit", timedelta(minutes=1), components[AuditSealer].seal),
        ("prune_rates", timedelta(hours=1), components[Rates].prune),
        ("prune_sign_ins", timedelta(hours=1), components[SignInThrottle].prune),
        ("prune_tickets", timedelta(hours=1), components[Tickets].prune),
        ("prune_oauth_flows", timedelta(hours=1), components[OAuthService].prune),
    ]
    if EmbeddingFiller in components:
        filler = components[EmbeddingFiller]
        worker.duties += [
            ("embed", timedelta(seconds=5), filler.fill),
            ("tidy_embeddings", timedelta(hours=1), once_of_all(filler.tidy)),
        ]
    return worker


def executor_options(settings: Settings) -> ExecutorOptions:
    """What the settings say about carrying out runs."""
    return ExecutorOptions(
        stall_timeout=settings.sync_stall_timeout,
        # A little less than a job's: the job is delivered again to one who may then take the run.
        worker_silence=settings.worker_silence * 0.8,
        max_attempts=settings.sync_max_attempts,
        pause_after_failures=settings.sync_pause_after_failures,
        engine=EngineOptions(
            batch_size=settings.sync_batch_size,
            chunk_size=settings.sync_chunk_size,
            raw_dump_path=raw_dump_path(settings),
            brake=Brake(share=settings.sync_delete_brake, minimum=settings.sync_delete_brake_minimum),
        ),
    )


def raw_dump_path(settings: Settings) -> Path | None:
    """Where the raw records of the latest fetch are saved; None where they are not."""
    return Path(settings.raw_dump_path) if settings.raw_dump_path else None
