"""Runs in this worker process: claiming them, carrying them out, and letting go when they are taken away."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy.exc import SQLAlchemyError

from integrations_api.clock import Clock
from integrations_api.connectors.errors import ConnectorError
from integrations_api.db.engine import Sessions, cause_of, is_disk_full, is_lost_connection
from integrations_api.errors import ApplicationError
from integrations_api.integrations import for_sync
from integrations_api.integrations.for_sync import IntegrationForSync, IntegrationReader
from integrations_api.logs import bind, get_logger
from integrations_api.metrics import SYNC_RUNS_ENDED
from integrations_api.queue.jobs import NotDoneYet, enqueue
from integrations_api.sync import events, fence, repository
from integrations_api.sync.engine import EngineOptions, SyncEngine
from integrations_api.sync.journal import Journal
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import (
    ENTRYPOINT,
    INTEGRATION_DELETED,
    REMAP,
    Claim,
    Fenced,
    HandOver,
    RunState,
    is_final,
)
from integrations_api.sync.sources import Sources

log = get_logger(__name__)

_ENDLESS = (
    "Look into the log of the workers under this run: they were killed (memory is the usual reason) or stood still for "
    "SYNC_STALL_TIMEOUT each time; then resume the run"
)
SOURCE_CHANGED = "Sync was cancelled: the integration reads another source now; the next sync reads everything"


class ExecutorOptions(Struct, frozen=True):
    """How patient this worker is with a run."""

    stall_timeout: timedelta
    worker_silence: timedelta
    max_attempts: int
    pause_after_failures: int
    engine: EngineOptions


class _Active(Struct):
    task: asyncio.Task[bool]
    claim: Claim | None = None
    journal: Journal | None = None

    @property
    def has_ended_its_run(self) -> bool:
        """Whether this process itself has brought the run to its end, and only tidies up after it."""
        return self.journal is not None and is_final(self.journal.run.state)


class RunExecutor:
    """At most one task a run in this process, which outlives the queue connection that asked for it."""

    def __init__(
        self,
        *,
        worker_id: UUID,
        sessions: Sessions,
        integrations: IntegrationReader,
        sources: Sources,
        clock: Clock,
        options: ExecutorOptions,
    ) -> None:
        self._worker_id = worker_id
        self._sessions = sessions
        self._integrations = integrations
        self._sources = sources
        self._clock = clock
        self._options = options
        self._active: dict[UUID, _Active] = {}
        self._stopping = False

    def active_runs(self) -> Sequence[UUID]:
        """Runs this process is working on."""
        return list(self._active)

    def stop(self) -> None:
        """From now on every run is given back at its next boundary."""
        self._stopping = True

    async def leave(self) -> None:
        """Gives back at once what has not come to a boundary: a request that hangs, say."""
        self._stopping = True
        tasks = [active.task for active in self._active.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def carry_out(self, key: str) -> None:
        """The queue's handler; `key` is the run's id. Raises `NotDoneYet` for a run that goes on elsewhere or later."""
        run_id = UUID(key)
        bind(run_id=key)  # For what the queue itself says of this job.
        active = self._active.get(run_id)
        if active is None:
            active = self._active[run_id] = _Active(task=asyncio.create_task(self._attempt(run_id)))
            active.task.add_done_callback(lambda _: self._active.pop(run_id, None))
        # A queue connection that is lost cancels its handlers, not the work.
        done = await asyncio.shield(active.task)
        if not done:
            raise NotDoneYet(after=0 if self._stopping else 2)

    async def _attempt(self, run_id: UUID) -> bool:
        """One attempt; says whether nothing is left to do for this run."""
        bind(run_id=str(run_id))
        async with self._sessions.begin() as session:
            run = await fence.claim(
                session,
                run_id=run_id,
                worker_id=self._worker_id,
                now=self._clock(),
                silence=self._options.worker_silence,
            )
        if run is None:
            return await self._is_over(run_id)
        claim = Claim(run_id=run.id, attempt=run.attempt, worker_id=run.worker_id)
        self._active[run_id].claim = claim
        bind(integration_id=str(run.integration_id), attempt=run.attempt)
        try:
            return await self._carry_out(run, claim)
        except asyncio.CancelledError:
            # `watch` cancels a run that has ended or stands still, `leave` any; what goes on goes back to the queue.
            await self._give_back(claim, counts=not self._stopping)
            log.info("sync.let_go")
            return await self._is_over(run_id)

    async def _is_over(self, run_id: UUID) -> bool:
        async with self._sessions() as session:
            run = await repository.find_run(session, run_id)
        return run is None or is_final(run.state)

    async def _carry_out(self, run: SyncRun, claim: Claim) -> bool:
        log.info("sync.attempt_started", phase=run.phase, mode=run.mode)
        try:
            if run.attempt - run.handovers > self._options.max_attempts:
                await self._fail(claim, "The sync was begun too often without coming to an end", remedy=_ENDLESS)
                return True
            integration = await self._load(run)
            if integration is None:
                return True
            await self._drive(run, integration)
            log.info("sync.attempt_succeeded")
        except HandOver:
            await self._give_back(claim, counts=False)
            log.info("sync.handed_over")
            return False
        except Fenced:
            log.info("sync.fenced_off")
            # Whoever has the run now has its job too, which PgQueuer would delete for us without asking whose it is.
            return await self._is_over(run.id)
        except ConnectorError as error:
            await self._fail_fetch(claim, run, error)
        except ApplicationError as error:
            await self._fail(claim, error.message)
        except Exception as error:
            if is_lost_connection(error):
                # Steps wait for the database themselves; between them the run goes back to the queue.
                log.warning("sync.database_lost", error=type(cause_of(error)).__name__)
                # However long a disk is full: it is not the run's fault, which goes on when there is space again.
                await self._give_back(claim, counts=not is_disk_full(error))
                return False
            log.exception("sync.attempt_broke")
            await self._fail(claim, f"The sync failed unexpectedly; the log tells more under run {run.id}")
        return True

    async def _load(self, run: SyncRun) -> IntegrationForSync | None:
        """None where this run is not to go on: its integration is gone, or reads another source since it was begun."""
        if run.integration_id is None:
            return None
        async with self._sessions() as session:
            integration = await self._integrations.load(session, run.integration_id)
        if run.fingerprint in (None, integration.fingerprint):
            return integration
        await self._end_overtaken()
        return None

    async def _drive(self, run: SyncRun, integration: IntegrationForSync) -> None:
        self._sources.check(integration)
        journal = Journal(sessions=self._sessions, clock=self._clock, run=run, stopping=lambda: self._stopping)
        self._active[run.id].journal = journal
        async with self._sources.open(integration, on_wait=journal.tell_wait) as connector:
            engine = SyncEngine(
                journal=journal,
                connector=connector,
                integration=integration,
                sessions=self._sessions,
                clock=self._clock,
                options=self._options.engine,
                mapping_version=self._sources.mapping_version(integration.service_name),
            )
            async with aclosing(engine.run()) as told:
                async for _ in told:
                    pass  # Who watches reads the run log; the generator only has to be driven.

    async def _fail_fetch(self, claim: Claim, run: SyncRun, error: ConnectorError) -> None:
        async with self._sessions() as session:
            integration = await self._integrations.load(session, run.dataset_id)
        source = self._sources.describe(integration)
        message = f"Failed to fetch {source.noun} from {source.name}: {error.message}"
        await self._fail(claim, message, remedy=error.remedy)

    async def _fail(self, claim: Claim, message: str, *, remedy: str | None = None) -> None:
        """Ends the run as failed, unless it is not ours any more; what was published before stays as it is."""
        at = self._clock().replace(microsecond=0)
        async with self._sessions.begin() as session:
            ended = await repository.finish(
                session,
                run_id=claim.run_id,
                event=events.error(message),
                where=fence.held_by(claim),
                state=RunState.FAILED,
                error=message,
                remedy=remedy,
            )
            run = await repository.find_run(session, claim.run_id)
            # The source has not failed where it was not asked.
            if ended and run is not None and run.integration_id is not None and run.trigger != REMAP:
                await for_sync.record_failure(
                    session,
                    run.integration_id,
                    at=at,
                    message=message,
                    pause_after=self._options.pause_after_failures,
                )
        if ended:
            SYNC_RUNS_ENDED.labels(RunState.FAILED).inc()
        log.warning("sync.failed", error=message)

    async def _give_back(self, claim: Claim, *, counts: bool) -> None:
        """Leaves the run to the queue; `counts` says whether this attempt counts against the run."""
        with suppress(SQLAlchemyError, OSError):
            async with self._sessions.begin() as session:
                await fence.release(session, claim, handed_over=not counts)

    async def watch(self) -> None:
        """Lets go of runs that have ended or were taken by others, and takes away those that stand still."""
        await self._end_overtaken()
        mine = [active for active in self._active.values() if active.claim is not None]
        async with self._sessions() as session:
            claims = [active.claim for active in mine if active.claim is not None]
            moving = await fence.moving_runs(session, claims, since=self._clock() - self._options.stall_timeout)
        await asyncio.sleep(0)  # If a last commit was answered just before us, its run hears of it first.
        for active in mine:
            if active.claim is None or active.has_ended_its_run:
                continue
            if active.claim.run_id not in moving:
                active.claim = None  # Once is enough: a second cancel would hit the giving back.
                active.task.cancel()

    async def _end_overtaken(self) -> None:
        ended = 0
        async with self._sessions.begin() as session:
            for run_id, gone in await repository.overtaken_runs(session):
                message = INTEGRATION_DELETED if gone else SOURCE_CHANGED
                ended += await repository.finish(
                    session, run_id=run_id, event=events.error(message), state=RunState.CANCELLED, error=message
                )
        SYNC_RUNS_ENDED.labels(RunState.CANCELLED).inc(ended)

    async def sweep(self) -> None:
        """Wakes workers for unfinished runs that have no job: one was lost, or deleted by a worker fenced off."""
        async with self._sessions.begin() as session:
            lost = await repository.runs_without_a_job(session, entrypoint=ENTRYPOINT)
            await enqueue(session, entrypoint=ENTRYPOINT, keys=[str(run_id) for run_id in lost])
