"""Jobs brought to their handlers by PgQueuer, which a worker imports when it has been seen: that is slow.

PgQueuer does not listen again after PostgreSQL restarts, so each of its loops lives as long as its connection and
is followed by another. Work that is going on is not ended by that: handlers are shielded.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import asyncpg
from msgspec import Struct
from pgqueuer import PgQueuer
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job

from integrations_api.db.arrays import know_arrays, know_enum
from integrations_api.db.dialling import connect
from integrations_api.db.lost import DATABASE_LOST
from integrations_api.logs import get_logger
from integrations_api.queue.jobs import Handler, NotDoneYet

log = get_logger(__name__)

POLL = timedelta(seconds=2)
ANSWER = timedelta(seconds=15)
"""How long the database may take to answer PgQueuer, whose statements are short. A network that has forgotten the
connection tells nobody; asyncpg gives it up when neither the answer comes nor the cancelling of the question."""
GOODBYE = timedelta(seconds=5)
"""How long work may take to reach a boundary after the worker was asked to stop."""
_LEAST = 2
"""So many jobs at once PgQueuer wants to be allowed."""


class Deliveries(Struct, frozen=True, kw_only=True):
    """Up to `concurrency` jobs at once, by the name of their handler.

    A job that was not heard of for `silence` is delivered again. `on_stop` asks what is going on to come to a boundary.
    """

    dsn: str
    handlers: Mapping[str, Handler]
    concurrency: int
    silence: timedelta
    on_stop: Callable[[], None]

    async def go_on(self, stopping: asyncio.Event) -> None:
        """Delivers until `stopping` is set, whatever becomes of the connection."""
        logging.getLogger("pgqueuer").addFilter(_is_news)
        delay = 0.1
        while not stopping.is_set():
            try:
                await self._deliver(stopping)
                delay = 0.1
            except DATABASE_LOST as error:
                log.warning("worker.database_lost", error=type(error).__name__)
                delay = min(delay * 2, 2.0)
            if not stopping.is_set():
                await asyncio.sleep(delay)

    async def _deliver(self, stopping: asyncio.Event) -> None:
        """One PgQueuer loop, for as long as its connection lives or until the worker is to stop."""
        connection = await self._connection(stopping)
        if connection is None:
            self.on_stop()
            return
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        queuer = PgQueuer.from_asyncpg_connection(connection)
        _take_no_more_than(self.concurrency, queuer)
        for name, handler in self.handlers.items():
            queuer.entrypoint(name, accepts_context=False)(_adapt(handler))
        loop = asyncio.create_task(
            queuer.qm.run(
                dequeue_timeout=POLL,
                batch_size=1,
                max_concurrent_tasks=max(_LEAST, self.concurrency),
                heartbeat_timeout=self.silence,
                shutdown_on_listener_failure=True,
            )
        )
        try:
            await _first_of(loop, lost, stopping)
            if stopping.is_set() and not lost.is_set():
                self.on_stop()
                queuer.shutdown.set()
                await asyncio.wait({loop}, timeout=GOODBYE.total_seconds())
            if loop.done():
                loop.result()
        finally:
            loop.cancel()
            # A loop on a dead connection waits for its jobs; they go on without it.
            await asyncio.wait({loop}, timeout=1)
            if loop.done() and not loop.cancelled():
                loop.exception()  # Looked at, or asyncio complains that nobody did.
            connection.terminate()
        if lost.is_set() and not stopping.is_set():
            log.warning("worker.database_lost", error="the connection was closed")

    async def _connection(self, stopping: asyncio.Event) -> asyncpg.Connection | None:
        """None where the worker is to stop before there is one: a server that does not answer would keep it."""
        connecting = asyncio.create_task(self._connect())
        try:
            await _first_of(connecting, stopping)
        finally:
            connecting.cancel()
            await asyncio.wait({connecting})
        return None if connecting.cancelled() else connecting.result()

    async def _connect(self) -> asyncpg.Connection:
        connection = await connect(self.dsn, command_timeout=ANSWER.total_seconds())
        try:
            know_arrays(connection)
            await know_enum(connection, "pgqueuer_status")
        except BaseException:
            connection.terminate()
            raise
        return connection


def _take_no_more_than(jobs: int, queuer: PgQueuer) -> None:
    """Has PgQueuer ask for a job only while it has fewer, also where that is fewer than `_LEAST`."""
    fetch = queuer.qm.fetch_jobs

    def fetch_within(
        batch_size: int, global_concurrency_limit: int | None, heartbeat_timeout: timedelta
    ) -> AsyncGenerator[Job, None]:
        return fetch(batch_size, jobs, heartbeat_timeout)

    queuer.qm.fetch_jobs = fetch_within  # type: ignore[method-assign]


def _adapt(handler: Handler) -> Callable[[Job], Awaitable[None]]:
    async def deliver(job: Job) -> None:
        try:
            await handler((job.payload or b"").decode())
        except NotDoneYet as wish:
            raise RetryRequested(delay=timedelta(seconds=wish.after), reason="not done yet") from None

    return deliver


def _is_news(record: logging.LogRecord) -> bool:
    """On a connection that was lost PgQueuer tries time and again to write how its jobs ended, with a traceback each
    time. That it is lost is said by ourselves, and the runs' own rows tell how they ended."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, DATABASE_LOST) and not str(record.msg).startswith("Shutdown flush failed")


async def _first_of(task: asyncio.Task[Any], *events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({task, *waits}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
