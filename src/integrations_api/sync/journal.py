"""Steps of a run, each one transaction: fence, work, what the row says now, events. Lost connections are waited out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct, field
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import Clock
from integrations_api.connectors.records import Wait
from integrations_api.db.engine import Sessions, cause_of, is_lost_connection
from integrations_api.logs import get_logger
from integrations_api.metrics import waited
from integrations_api.sync import events, fence, repository
from integrations_api.sync.events import LoggedEvent, NewEvent
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import Claim, Fenced, HandOver

log = get_logger(__name__)

PATIENCE = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0)
"""Seconds between tries while the database is away: a minute in all, longer than a restart takes."""


class StepResult(Struct, frozen=True):
    """What a step's work leaves behind: events to tell, columns of the run to set."""

    events: Sequence[NewEvent] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


Work = Callable[[AsyncSession], Awaitable[StepResult]]


class Journal:
    """The run's row as this attempt knows it, and the only way to change it."""

    def __init__(self, *, sessions: Sessions, clock: Clock, run: SyncRun, stopping: Callable[[], bool]) -> None:
        self._sessions = sessions
        self._clock = clock
        self.stopping = stopping
        self.run = run
        self.claim = Claim(run_id=run.id, attempt=run.attempt, worker_id=run.worker_id)

    @property
    def further(self) -> Mapping[str, Any]:
        """What a step sets by which no later attempt goes back: the attempts before this one count no longer."""
        return {"handovers": self.claim.attempt - 1}

    def come_to_boundary(self) -> None:
        """Between two steps. Raises `HandOver` where this worker is to stop."""
        if self.stopping():
            raise HandOver

    async def step(self, work: Work) -> list[LoggedEvent]:
        """Carries out one step; its events are returned after the commit. Raises `Fenced`.

        A step that was committed although the answer got lost returns no events: readers have them from the rows.
        """
        for pause in (*PATIENCE, None):
            try:
                return await self._try(work)
            except Exception as error:
                await self._wait_out(error, pause)
            if await self._was_committed():
                await self.reload()
                return []
        raise AssertionError("the last try returns or raises")

    async def beside(self, work: Callable[[AsyncSession], Awaitable[None]]) -> None:
        """Work of this attempt that no step depends on having been done once: it may be done twice, and while a step
        is carried out. Raises `Fenced`.
        """
        for pause in (*PATIENCE, None):
            try:
                async with self._sessions.begin() as session:
                    await fence.check_claim(session, self.claim)
                    await work(session)
            except Exception as error:
                await self._wait_out(error, pause)
            else:
                return

    async def _wait_out(self, error: Exception, pause: float | None) -> None:
        """Waits for a database that is away; raises what is not to be waited out."""
        if pause is None or not is_lost_connection(error):
            raise error
        log.warning("sync.database_lost", run_id=str(self.run.id), error=type(cause_of(error)).__name__)
        waited("database", pause)
        await asyncio.sleep(pause)

    async def note(self, *new: NewEvent, **values: Any) -> list[LoggedEvent]:
        """A step that only tells and remembers."""

        async def work(_: AsyncSession) -> StepResult:
            return StepResult(events=new, values=values)

        return await self.step(work)

    async def _try(self, work: Work) -> list[LoggedEvent]:
        async with self._sessions.begin() as session:
            await fence.advance(session, self.claim, step=self.run.step, now=self._clock())
            result = await work(session)
            logged = await fence.conclude(session, self.run.id, events=result.events, values=result.values)
        self.run.step += 1
        for name, value in result.values.items():
            setattr(self.run, name, value)
        return logged

    async def _was_committed(self) -> bool:
        try:
            async with self._sessions() as session:
                return await fence.was_done(session, self.claim, step=self.run.step)
        except Exception as error:
            if is_lost_connection(error):
                return False
            raise

    async def reload(self) -> None:
        """Reads the row again: others may have changed what they may. Raises `Fenced`."""
        async with self._sessions() as session:
            run = await repository.find_run(session, self.run.id)
        if run is None:
            raise Fenced
        self.run = run

    async def tell_wait(self, wait: Wait) -> None:
        """Says what the run waits for; until then it does not count as stuck. Raises `Fenced`.

        While the database is away nothing is said: the wait is the same, and the next step waits for the database.
        """
        until = self._clock() + timedelta(seconds=wait.seconds)
        try:
            async with self._sessions.begin() as session:
                await fence.wait_until(session, self.claim, until=until, event=events.progress(wait.reason))
        except Exception as error:
            if not is_lost_connection(error):
                raise
            log.warning("sync.wait_not_told", run_id=str(self.run.id), error=type(error).__name__)
