"""What workers do now and then: start due syncs, forget old logs."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import Clock
from integrations_api.connectors.merge import in_chunks
from integrations_api.db.engine import Sessions
from integrations_api.integrations import for_sync
from integrations_api.knowledge import remapping, staging
from integrations_api.logs import get_logger
from integrations_api.queue.jobs import enqueue
from integrations_api.sync import repository
from integrations_api.sync.queueing import queue_run
from integrations_api.sync.raw_file import raw_files, written_at
from integrations_api.sync.recording import record_start
from integrations_api.sync.runs import ENTRYPOINT, PLANS_KEPT, REMAP
from integrations_api.sync.sources import Sources

log = get_logger(__name__)

CLOCKS_APART = timedelta(seconds=10)
"""How far the clock of a machine may differ from the database's."""
REMAP_PAUSE = timedelta(days=1)
"""How long a dataset is left alone whose remap has failed or was cancelled; its next sync tries again all the same."""
LEFT_OVER = timedelta(days=1)
"""How long nothing has been written to a file of raw records that nobody is writing any more."""
AT_ONCE = 100
"""Due integrations started in one transaction, and runs whose events are deleted in one."""


class SyncDuties:
    """Every worker has them; rows that are locked make sure that each thing is done once."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        sources: Sources,
        clock: Clock,
        keep_events: timedelta,
        raw_dump_path: Path | None = None,
    ) -> None:
        self._sessions = sessions
        self._sources = sources
        self._clock = clock
        self._keep_events = keep_events
        self._raw_dump_path = raw_dump_path
        self._purges_known_until = datetime.min.replace(tzinfo=UTC)

    async def start_due(self) -> None:
        """Starts each scheduled sync whose time has come, and sets its next time in the same transaction."""
        while await self._start_some() == AT_ONCE:
            pass

    async def _start_some(self) -> int:
        async with self._sessions.begin() as session:
            due = await for_sync.take_due(session, limit=AT_ONCE)
            begun = await self._queue(session, due) if due else {}
            for integration_id in due:
                # One that is going on already serves: the due time is past, and the next one will come.
                run_id = begun.get(integration_id) or await self._after_remap(session, integration_id)
                if run_id is not None:
                    await record_start(
                        session, run_id=run_id, dataset_id=integration_id, mode="incremental", trigger="schedule"
                    )
        return len(due)

    async def _queue(self, session: AsyncSession, due: Sequence[UUID]) -> dict[UUID, UUID]:
        """Queues a run for each integration that has none; integration → run.

        To add one beside a run that is going on would wait for its step, and that may wait for the integration, which
        the caller has locked.
        """
        busy = await repository.busy_among(session, due)
        wanted = {integration_id: uuid4() for integration_id in due if integration_id not in busy}
        if not wanted:
            return {}
        facts = {"mode": "incremental", "trigger": "schedule"}
        added = await repository.insert_runs(
            session,
            [
                {"id": run_id, "integration_id": integration_id, "dataset_id": integration_id, **facts}
                for integration_id, run_id in wanted.items()
            ],
        )
        begun = {integration_id: run_id for integration_id, run_id in wanted.items() if run_id in added}
        await enqueue(session, entrypoint=ENTRYPOINT, keys=[str(run_id) for run_id in begun.values()])
        for integration_id, run_id in begun.items():
            log.info("sync.scheduled", integration_id=str(integration_id), run_id=str(run_id))
        return begun

    async def _after_remap(self, session: AsyncSession, integration_id: UUID) -> UUID | None:
        """A remap goes on as the sync; where that has ended while we waited for its last step, a run of its own."""
        turned = await repository.turn_into_sync(
            session, integration_id, mode="incremental", trigger="schedule", requested_by=None
        )
        return turned or (await self._queue(session, [integration_id])).get(integration_id)

    async def start_remap(self) -> None:
        """Has one dataset mapped anew that an older mapping made; one at a time, and only what is at rest."""
        now = self._clock()
        async with self._sessions.begin() as session:
            if not await repository.may_start_remap(session):
                return
            made_by = await remapping.made_by(session)
            outdated = [id_ for id_, name, version in made_by if version < self._sources.mapping_version(name)]
            if not outdated:
                return
            dataset_id = await remapping.at_rest(session, outdated, failed_since=now - REMAP_PAUSE)
            if dataset_id is None:
                return
            run_id = await queue_run(session, dataset_id, mode="incremental", trigger=REMAP)
            if run_id is not None:
                log.info("sync.remap_started", integration_id=str(dataset_id), run_id=str(run_id))

    async def forget_raw_file(self) -> None:
        """Deletes this machine's file of raw records if something was purged since it was written; and, after a day,
        what was left beside it by a process that was killed while it wrote.
        """
        files = raw_files(self._raw_dump_path) if self._raw_dump_path else []
        for file in files[1:]:
            if (at := written_at(file)) and at < self._clock() - LEFT_OVER:
                file.unlink(missing_ok=True)
        written = [at for file in files if (at := written_at(file))]
        if not written:
            return
        async with self._sessions() as session:
            since = max(min(written) - CLOCKS_APART, self._purges_known_until)
            was_purged, self._purges_known_until = await repository.purged_since(session, since)
        if was_purged:
            for file in files:
                file.unlink(missing_ok=True)
            log.info("sync.raw_file_forgotten")

    async def forget_old_plans(self) -> None:
        """Drops what runs had planned and will not carry out."""
        async with self._sessions.begin() as session:
            await staging.drop_plans_of_ended_runs(session, failed_before=self._clock() - PLANS_KEPT)

    async def forget_old_events(self) -> None:
        """Deletes the event logs of runs that ended long ago; the runs themselves stay."""
        before = self._clock() - self._keep_events
        async with self._sessions() as session:
            runs = (await session.scalars(_WITH_OLD_EVENTS, {"before": before})).all()
        for some in in_chunks(runs, AT_ONCE):
            async with self._sessions.begin() as session:
                await session.execute(_FORGET_EVENTS, {"runs": list(some), "before": before})


# From the old events on: the runs of a year are far more than those that still have a log.
_WITH_OLD_EVENTS = text("""
    SELECT id FROM sync_runs
    WHERE id = ANY(ARRAY(SELECT DISTINCT run_id FROM sync_events WHERE at < :before)) AND finished_at < :before
    ORDER BY finished_at
""")
# Not of one that was resumed meanwhile.
_FORGET_EVENTS = text("""
    DELETE FROM sync_events e USING sync_runs r
    WHERE e.run_id = r.id AND r.id = ANY(CAST(:runs AS uuid[])) AND r.finished_at < :before
""")
