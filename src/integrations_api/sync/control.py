"""Decisions people take about runs and the versions they made: cancel, resume, publish or discard what is held."""

from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.principal import Principal
from integrations_api.audit import service as audit
from integrations_api.clock import Clock
from integrations_api.connectors.records import SourceCount
from integrations_api.db.engine import Sessions
from integrations_api.errors import Conflict, NotFound
from integrations_api.integrations import for_sync
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.knowledge import datasets, staging, versions
from integrations_api.knowledge.lookup import get_dataset
from integrations_api.knowledge.models import Version
from integrations_api.knowledge.rollback import roll_back
from integrations_api.logs import bind
from integrations_api.metrics import SYNC_RUNS_ENDED
from integrations_api.queue.jobs import enqueue
from integrations_api.sync import events, repository
from integrations_api.sync.models import SyncRun
from integrations_api.sync.publishing import publish_run, tell_decided
from integrations_api.sync.recording import record_discard
from integrations_api.sync.runs import ENTRYPOINT, PLANS_KEPT, Phase, RunState
from integrations_api.sync.verdict import judge

RESUMABLE_FOR = PLANS_KEPT - timedelta(days=1)
_HAVE_A_PLAN = (Phase.REMAPPING, Phase.REWRITING, Phase.INGESTING)
_LATER_RUN = "A later run has begun since: start a new sync"


class RolledBack(Struct, frozen=True):
    """The version a rollback has made, and whether it had to pause a schedule.

    `is_synced` says that there is an integration, whose next sync reads everything.
    """

    number: int
    schedule_paused: bool
    is_synced: bool


class RunControl:
    """Each method is one transaction; the worker that has the run notices within a second."""

    def __init__(self, *, sessions: Sessions, integrations: IntegrationReader, clock: Clock) -> None:
        self._sessions = sessions
        self._integrations = integrations
        self._clock = clock

    async def cancel(self, integration_id: UUID, *, principal: Principal) -> SyncRun:
        """Ends the run that is going on. Raises `NotFound`, and `Conflict` when there is none."""
        message = f"Sync was cancelled by {principal.email}"
        async with self._sessions.begin() as session:
            await for_sync.get(session, integration_id)
            run = await repository.find_active(session, integration_id)
            if run is None or not await repository.finish(
                session,
                run_id=run.id,
                event=events.error(message),
                by=principal,
                state=RunState.CANCELLED,
                error=message,
            ):
                raise Conflict("No sync of this integration is going on")
            bind(run_id=str(run.id))
            await _record(session, "sync.cancel", principal, integration_id, run_id=str(run.id))
            await session.refresh(run)
        SYNC_RUNS_ENDED.labels(RunState.CANCELLED).inc()
        return run

    async def resume(self, run_id: UUID, *, principal: Principal) -> SyncRun:
        """Queues a failed run again, to go on where its last commit was. Raises `NotFound`, `Conflict`."""
        try:
            async with self._sessions.begin() as session:
                return await self._resume(session, run_id, principal=principal)
        except IntegrityError:
            raise Conflict(_LATER_RUN) from None  # It was begun while we looked.

    async def _resume(self, session: AsyncSession, run_id: UUID, *, principal: Principal) -> SyncRun:
        run = await self._failed_run(session, run_id)
        await self._refuse_resuming(session, run)
        await repository.reopen(session, run, message=f"Resumed by {principal.email}. Before: {run.error}")
        await enqueue(session, entrypoint=ENTRYPOINT, keys=[str(run_id)])
        await _record(session, "sync.resume", principal, run.dataset_id, run_id=str(run_id))
        await session.refresh(run)
        return run

    async def _failed_run(self, session: AsyncSession, run_id: UUID) -> SyncRun:
        """The run, locked after its dataset, where a rollback or a purge may be going on.

        Looked at before it is locked: if it goes on, its step may wait for the dataset.
        """
        run = await repository.find_run(session, run_id)
        if run is not None:
            bind(integration_id=str(run.dataset_id))
            await datasets.lock(session, run.dataset_id)
        _failed(await session.get(SyncRun, run_id, populate_existing=True))
        return _failed(await session.get(SyncRun, run_id, populate_existing=True, with_for_update=True))

    async def _refuse_resuming(self, session: AsyncSession, run: SyncRun) -> None:
        if run.integration_id is None:
            raise Conflict("The integration of this run was deleted")
        if run.finished_at is not None and run.finished_at < self._clock() - RESUMABLE_FOR:
            raise Conflict("The run failed too long ago: start a new sync")
        integration = await self._integrations.load(session, run.integration_id)
        if not integration.is_active:
            raise Conflict("Integration is disabled")
        if run.fingerprint is not None and integration.fingerprint != run.fingerprint:
            raise Conflict("The integration reads another source now: start a new sync")
        if run.finished_at is not None and await versions.rolled_back_since(session, run.dataset_id, run.finished_at):
            raise Conflict("The dataset was rolled back since: start a new sync, which reads everything")
        latest = await repository.page_of_runs(session, integration_id=run.dataset_id, before=None, limit=1)
        if latest[0].id != run.id:
            raise Conflict(_LATER_RUN)
        # By the version itself, for times are those of a clock: after a failover that of a slow machine, say.
        number = run.version
        if number is not None and not await versions.is_being_built(session, dataset_id=run.dataset_id, number=number):
            raise Conflict(_LATER_RUN)
        left = run.planned - run.ingested if run.phase in _HAVE_A_PLAN else 0
        if await staging.count_staged(session, run.id, after=run.ingested) < left:
            raise Conflict("An incident that this run was about to write was purged since: start a new sync")

    async def publish_held(self, dataset_id: UUID, number: int, *, principal: Principal) -> None:
        """Makes a held version the head after all. Raises `NotFound`, `Conflict`."""
        async with self._sessions.begin() as session:
            version = await _held(session, dataset_id, number)
            run = await session.get(SyncRun, version.run_id, with_for_update=True)
            if run is None or run.integration_id is None:
                raise Conflict("The integration of this version was deleted: it can only be discarded")
            plan = await staging.planned(session, run.id)
            at = self._clock().replace(microsecond=0)
            result = await publish_run(session, run=run, plan=plan, source=_COUNTED_BEFORE, at=at)
            await tell_decided(session, dataset_id, number, f"published by {principal.email}")
            # The run's stream has ended with its `complete` event; only its row says what became of it.
            await session.execute(update(SyncRun).where(SyncRun.id == run.id).values(**result.values))
            await _record(session, "version.publish", principal, dataset_id, version=number, run_id=str(run.id))

    async def discard_held(self, dataset_id: UUID, number: int, *, principal: Principal) -> None:
        """Abandons a held version. Raises `NotFound`, `Conflict`."""
        async with self._sessions.begin() as session:
            version = await _held(session, dataset_id, number)
            await _discard(session, dataset_id, by=principal)
            if version.run_id is not None:
                await staging.discard_staged(session, version.run_id)

    async def roll_back(self, dataset_id: UUID, to_version: int, *, reason: str, principal: Principal) -> RolledBack:
        """Publishes a new version that equals an earlier one. Raises `NotFound`, `Conflict`.

        The next sync reads everything, and the schedule pauses: else the next run would undo this minutes later, or
        leave out what lies between.
        """
        async with self._sessions.begin() as session:
            await _locked(session, dataset_id, to_version)
            if await repository.find_active(session, dataset_id) is not None:
                raise Conflict("A sync is going on: wait for it, or cancel it first")
            await _discard(session, dataset_id, by=principal)
            number = await versions.begin_version(
                session, dataset_id=dataset_id, kind="rollback", run_id=None, note=reason, source_version=to_version
            )
            plan = await roll_back(session, dataset_id=dataset_id, to_version=to_version, new_number=number)
            if not plan.makes_a_version:
                raise Conflict(f"Version {to_version} says what readers see already: nothing to roll back")
            at = self._clock().replace(microsecond=0)
            await versions.publish(session, dataset_id=dataset_id, version=number, plan=plan, at=at)
            is_synced = not (await get_dataset(session, dataset_id)).integration_deleted
            await _forget_verdict(session, dataset_id, to_version, is_synced=is_synced)
            paused = await for_sync.expect_full_sync(session, dataset_id, pause=f"rolled back to version {to_version}")
            await _record(
                session, "version.rollback", principal, dataset_id, version=number, to=to_version, reason=reason
            )
        return RolledBack(number=number, schedule_paused=paused, is_synced=is_synced)


def _failed(run: SyncRun | None) -> SyncRun:
    if run is None:
        raise NotFound("Sync run not found")
    if run.state != RunState.FAILED:
        raise Conflict(f"Only a failed run can be resumed; this one is {run.state}")
    return run


_COUNTED_BEFORE = SourceCount(
    total=None, why_unknown="the version was held and published later: the next sync counts again"
)


async def _discard(session: AsyncSession, dataset_id: UUID, *, by: Principal) -> None:
    """Takes back what is not published; if somebody was asked about it, he no longer is."""
    held = await versions.undo_unpublished(session, dataset_id)
    await record_discard(session, dataset_id, held, by=by)
    await tell_decided(
        session, dataset_id, held, f"discarded by {by.email}: the next full sync finds the same changes again"
    )


async def _forget_verdict(session: AsyncSession, dataset_id: UUID, to_version: int, *, is_synced: bool) -> None:
    """The last run's verdict was about what it had left behind, not about what is read now."""
    follows = ": the next sync counts again" if is_synced else ""
    source = SourceCount(total=None, why_unknown=f"rolled back to version {to_version}{follows}")
    stored = await datasets.count_live(session, dataset_id)
    verdict = judge(source=source, stored=stored, rejected=0, unmapped=0)
    await datasets.save_verdict(session, dataset_id=dataset_id, verdict=verdict)


async def _held(session: AsyncSession, dataset_id: UUID, number: int) -> Version:
    version = await _locked(session, dataset_id, number)
    if version.state != "held":
        raise Conflict(f"Version {number} is {version.state}, not held: there is nothing to decide")
    return version


async def _locked(session: AsyncSession, dataset_id: UUID, number: int) -> Version:
    """Raises `NotFound`, in the words of whoever reads a version."""
    version = await versions.lock_version(session, dataset_id=dataset_id, number=number)
    if version is None:
        await get_dataset(session, dataset_id)
        raise NotFound(f"There is no version {number}")
    return version


async def _record(
    session: AsyncSession, action: str, principal: Principal, dataset_id: UUID, **details: object
) -> None:
    await audit.record(
        session, action=action, object_type="integration", object_id=dataset_id, principal=principal, details=details
    )
