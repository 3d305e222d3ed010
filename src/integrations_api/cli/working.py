"""What `worker` does: open the database, assemble the parts, carry out syncs until asked to end."""

import asyncio
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.cli import loops
from integrations_api.cli.metrics_port import giving_metrics
from integrations_api.cli.setup import check_schema, opened_database, settings_for_process
from integrations_api.cli.signals import Parent, Signals
from integrations_api.cli.starting import catch_up, meanwhile
from integrations_api.connectors.registry import CONNECTORS
from integrations_api.db.embedded import stop_abandoned
from integrations_api.errors import ConfigurationError
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.logs import get_logger
from integrations_api.settings import Settings, load_settings
from integrations_api.wiring import assemble
from integrations_api.worker_wiring import build_worker

log = get_logger(__name__)


def run_worker(*, with_parent: bool) -> None:
    """Runs until SIGINT or SIGTERM, or with its parent, who says when to begin."""
    signals = Signals()
    if not with_parent:
        _run(settings_for_process(), signals, migrated=True)
        return
    try:
        # It looks at settings, schema and keys meanwhile, and says what is wrong with them.
        told = Parent().word()
        _run(settings_for_process(**told), signals, migrated=False)
    finally:
        _leave_no_database()


def _leave_no_database() -> None:
    """A parent that was killed before we had joined its PostgreSQL leaves that to us."""
    with suppress(ConfigurationError):
        settings = load_settings()
        if settings.uses_bundled_database:
            stop_abandoned(settings.data_dir)


def _run(settings: Settings, signals: Signals, *, migrated: bool) -> None:
    with opened_database(settings, migrated=migrated) as url:
        loops.run(_work(settings, url, signals))


async def _work(settings: Settings, url: str, signals: Signals) -> None:
    async with assemble(settings, database_url=url, answering=False) as components:
        await check_schema(components[AsyncEngine])
        await components[SecretKeeper].require_keys()
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        worker = build_worker(components)
        loops.spare_what_is_there()
        async with giving_metrics(components, "WORKER_METRICS_PORT"):
            running = asyncio.create_task(worker.run(stopping))
            with signals.asking(
                lambda: loop.call_soon_threadsafe(stopping.set), lambda: loop.call_soon_threadsafe(running.cancel)
            ):
                log.info("worker.started", worker_id=str(worker.id))
                async with meanwhile(catch_up(*CONNECTORS)):
                    with suppress(asyncio.CancelledError):
                        await running
    log.info("worker.ended")
