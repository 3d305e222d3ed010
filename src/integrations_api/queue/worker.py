"""The supervised worker loop: PgQueuer for jobs, periodic duties, and the sign of life in `workers`.

PgQueuer does not listen again after PostgreSQL restarts, so each of its loops lives as long as its connection and
is followed by another. Work that is going on is not ended by that: handlers are shielded.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from integrations_api.db.engine import DATABASE_LOST, Sessions
from integrations_api.logs import get_logger
from integrations_api.queue.jobs import NotDoneYet
from integrations_api.queue.models import Worker

log = get_logger(__name__)

Handler = Callable[[str], Awaitable[None]]
"""Gets the job's key; returns when the job is done, raises `NotDoneYet` to get it again."""

Duty = Callable[[], Awaitable[None]]

POLL = timedelta(seconds=2)
GOODBYE = timedelta(seconds=5)
"""How long work may take to reach a boundary after the worker was asked to stop."""


@dataclass(kw_only=True)
class QueueWorker:
    """One worker process's loop. Rooms register handlers and duties before `run`.

    A job, and a worker, that were not heard of for `silence` count as lost. `on_stop` asks what is going on to come
    to a boundary, `on_leave` ends what has not come to one.
    """

    dsn: str
    sessions: Sessions
    concurrency: int
    silence: timedelta
    busy_with: Callable[[], Sequence[UUID]]
    on_stop: Callable[[], None]
    on_leave: Callable[[], Awaitable[None]]
    id: UUID = field(default_factory=uuid4)
    handlers: dict[str, Handler] = field(default_factory=dict)
    duties: list[tuple[str, timedelta, Duty]] = field(default_factory=list)

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until `stopping` is set and what is going on has come to a boundary."""
        logging.getLogger("pgqueuer").addFilter(_is_news)
        await self._show_life()
        helpers = [asyncio.create_task(self._repeat(name, every, duty, stopping)) for name, every, duty in self._all()]
        try:
            await self._deliver_for_ever(stopping)
        finally:
            stopping.set()
            await self.on_leave()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._leave()

    def _all(self) -> list[tuple[str, timedelta, Duty]]:
        return [("sign_of_life", self.silence / 5, self._show_life), *self.duties]

    async def _repeat(self, name: str, every: timedelta, duty: Duty, stopping: asyncio.Event) -> None:
        """A duty now and then every so often; one that fails is logged and comes round again."""
        while not stopping.is_set():
            try:
                await duty()
            except (SQLAlchemyError, *DATABASE_LOST) as error:
                log.warning("worker.duty_failed", duty=name, error=type(error).__name__)
            except Exception:
                log.exception("worker.duty_failed", duty=name)
            await asyncio.sleep(every.total_seconds())

    async def _deliver_for_ever(self, stopping: asyncio.Event) -> None:
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
        connection = await asyncpg.connect(self.dsn, timeout=10)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        queuer = PgQueuer.from_asyncpg_connection(connection)
        for name, handler in self.handlers.items():
            queuer.entrypoint(name, accepts_context=False)(self._adapt(handler))
        loop = asyncio.create_task(
            queuer.qm.run(
                dequeue_timeout=POLL,
                batch_size=1,
                max_concurrent_tasks=max(2, self.concurrency),
                heartbeat_timeout=self.silence,
                shutdown_on_listener_failure=True,
            )
        )
        try:
            await _first_of(loop, lost, stopping)
            if stopping.is_set() and not lost.is_set():
                self.on_stop()
                log.info("worker.ending", busy_with=[str(one) for one in self.busy_with()])
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

    def _adapt(self, handler: Handler) -> Callable[[Job], Awaitable[None]]:
        async def deliver(job: Job) -> None:
            try:
                await handler((job.payload or b"").decode())
            except NotDoneYet as wish:
                raise RetryRequested(delay=timedelta(seconds=wish.after), reason="not done yet") from None

        return deliver

    async def _show_life(self) -> None:
        busy = list(self.busy_with())
        async with self.sessions.begin() as session:
            row = {"id": self.id, "host": socket.gethostname(), "pid": os.getpid(), "busy_with": busy}
            await session.execute(
                insert(Worker)
                .values(**row, seen_at=func.now())
                .on_conflict_do_update(index_elements=[Worker.id], set_={"seen_at": func.now(), "busy_with": busy})
            )

    async def _leave(self) -> None:
        with suppress(SQLAlchemyError, OSError):
            async with self.sessions.begin() as session:
                await session.execute(delete(Worker).where(Worker.id == self.id))


def _is_news(record: logging.LogRecord) -> bool:
    """On a connection that was lost PgQueuer tries time and again to write how its jobs ended, with a traceback each
    time. That it is lost is said by ourselves, and the runs' own rows tell how they ended."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, DATABASE_LOST) and not str(record.msg).startswith("Shutdown flush failed")


async def _first_of(loop: asyncio.Task[None], *events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({loop, *waits}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
