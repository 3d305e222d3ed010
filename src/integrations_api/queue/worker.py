"""The supervised worker loop: jobs that are delivered, periodic duties, and the sign of life in `workers`."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from msgspec import Struct, field

from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions
from integrations_api.db.lost import DATABASE_TROUBLE
from integrations_api.logs import get_logger
from integrations_api.queue.jobs import Handler

if TYPE_CHECKING:
    from integrations_api.queue.delivering import Deliveries

log = get_logger(__name__)

_SIGN_OF_LIFE = """
    INSERT INTO workers (id, host, pid, busy_with, seen_at) VALUES ($1, $2, $3, $4, now())
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, busy_with = excluded.busy_with
"""
LEAVING = timedelta(seconds=3)
"""How long it may take to give back what has not come to a boundary, and to say goodbye."""
BRIEF = timedelta(minutes=1)
"""How long what comes round every few seconds may take. A server that stands still closes no connection, also when
another has taken over: who waits for its answer waits for ever, and the worker counts as dead, or looks after nothing.
"""
OFTEN = timedelta(seconds=10)
"""How often a worker shows at least that it lives: `/readyz`, metrics and doctor miss one not seen for 30 seconds."""
Duty = Callable[[], Awaitable[None]]


def brief(duty: Duty) -> Duty:
    """The same duty, given up after `BRIEF` to come round again over another connection."""

    async def bounded() -> None:
        async with asyncio.timeout(BRIEF.total_seconds()):
            await duty()

    return bounded


_ELDEST = "SELECT id FROM workers WHERE seen_at > now() - $1::interval ORDER BY started_at, id LIMIT 1"


def by_the_eldest(duty: Duty, *, worker_id: UUID, sessions: Sessions) -> Duty:
    """The same duty, of that worker alone which has lived longest: for what reads all of a large table.

    Where it dies the next one comes to it in time; so for what may as well wait that long.
    """

    async def once() -> None:
        async with connected(sessions) as connection:
            eldest = await connection.fetchval(_ELDEST, 3 * OFTEN)
        if eldest == worker_id:
            await duty()

    return once


class QueueWorker(Struct, kw_only=True):
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
        await self._show_life()
        deliveries = self._deliveries()
        helpers = [asyncio.create_task(self._repeat(name, every, duty, stopping)) for name, every, duty in self._all()]
        try:
            await deliveries.go_on(stopping)
        finally:
            stopping.set()
            # What is locked, or does not answer, must not keep us: the others do not hear of us any more, and go on.
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVING.total_seconds()):
                    await self._end(helpers)

    def _all(self) -> list[tuple[str, timedelta, Duty]]:
        return [("sign_of_life", min(self.silence / 5, OFTEN), brief(self._show_life)), *self.duties]

    async def _repeat(self, name: str, every: timedelta, duty: Duty, stopping: asyncio.Event) -> None:
        """A duty now and then every so often; one that fails is logged and comes round again."""
        while not stopping.is_set():
            try:
                await duty()
            except DATABASE_TROUBLE as error:
                log.warning("worker.duty_failed", duty=name, error=type(error).__name__)
            except Exception:
                log.exception("worker.duty_failed", duty=name)
            await asyncio.sleep(every.total_seconds())

    def _deliveries(self) -> "Deliveries":
        # Not in a thread: a duty imports some of the same, and two threads could end in a deadlock.
        from integrations_api.queue.delivering import Deliveries

        return Deliveries(
            dsn=self.dsn,
            handlers=self.handlers,
            concurrency=self.concurrency,
            silence=self.silence,
            on_stop=self._stop,
        )

    def _stop(self) -> None:
        self.on_stop()
        log.info("worker.ending", busy_with=[str(one) for one in self.busy_with()])

    async def _show_life(self) -> None:
        busy = list(self.busy_with())
        async with connected(self.sessions) as connection:
            await connection.execute(_SIGN_OF_LIFE, self.id, socket.gethostname(), os.getpid(), busy)

    async def _end(self, helpers: Sequence[asyncio.Task[None]]) -> None:
        try:
            await self.on_leave()
        finally:
            for helper in helpers:
                helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await self._leave()

    async def _leave(self) -> None:
        with suppress(*DATABASE_TROUBLE):
            async with connected(self.sessions) as connection:
                await connection.execute("DELETE FROM workers WHERE id = $1", self.id)
