"""Questions and statements about runs, of whoever asks. Each works in its caller's transaction.

What only the attempt does that has a run is in `fence`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.principal import Principal
from integrations_api.connectors.records import Mode
from integrations_api.db.direct import Row
from integrations_api.sync import run_log
from integrations_api.sync.events import NewEvent, progress
from integrations_api.sync.models import IS_ACTIVE, SyncEvent, SyncRun
from integrations_api.sync.recording import record_end
from integrations_api.sync.runs import REMAP, RunState


async def insert_run(session: AsyncSession, **values: Any) -> bool:
    """Adds a queued run unless the integration has one that is going on; says whether it did."""
    return bool(await insert_runs(session, [values]))


async def insert_runs(session: AsyncSession, runs: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Adds queued runs of integrations that have none that is going on; the ids of those it added.

    They are dated by the database: which run is an integration's latest goes by that, whichever machines queued them.
    """
    added = await session.scalars(
        pg_insert(SyncRun)
        .values([{**run, "created_at": func.clock_timestamp()} for run in runs])
        .on_conflict_do_nothing(
            index_elements=[SyncRun.integration_id], index_where=text("state IN ('queued', 'running')")
        )
        .returning(SyncRun.id)
    )
    return set(added)


async def find_active(session: AsyncSession, integration_id: UUID) -> SyncRun | None:
    """The run of an integration that is queued or running."""
    return await session.scalar(select(SyncRun).where(SyncRun.integration_id == integration_id, IS_ACTIVE))


async def busy_among(session: AsyncSession, integration_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the integrations that have a run which is queued or running."""
    statement = select(SyncRun.integration_id).where(SyncRun.integration_id.in_(integration_ids), IS_ACTIVE)
    return {found for found in await session.scalars(statement) if found is not None}


async def last_fingerprint(session: AsyncSession, run: SyncRun) -> str | None:
    """Of the source that the dataset was last read from, before this run."""
    before = select(SyncRun.fingerprint).where(
        SyncRun.dataset_id == run.dataset_id,
        SyncRun.id != run.id,
        SyncRun.state == RunState.SUCCEEDED,
        SyncRun.trigger != REMAP,
    )
    return await session.scalar(before.order_by(SyncRun.created_at.desc(), SyncRun.id.desc()).limit(1))


# A rollback may go back to a rollback.
_WENT_BACK_TO = text("""
    WITH RECURSIVE back AS (
        SELECT v.source_version, v.run_id FROM datasets d
        JOIN versions v ON v.dataset_id = d.id AND v.number = d.head
        WHERE d.id = :dataset AND v.kind = 'rollback'
        UNION ALL
        SELECT v.source_version, v.run_id FROM back
        JOIN versions v ON v.dataset_id = :dataset AND v.number = back.source_version
    )
    SELECT r.fingerprint FROM back JOIN sync_runs r ON r.id = back.run_id
""")


async def fingerprint_went_back_to(session: AsyncSession, dataset_id: UUID) -> str | None:
    """Of the source of what a dataset was rolled back to; None where its head is no rollback."""
    found: str | None = await session.scalar(_WENT_BACK_TO, {"dataset": dataset_id})
    return found


async def mode_of(session: AsyncSession, run_id: UUID) -> Mode:
    """What is asked of a run by now: a remap may have become a full sync since it was claimed."""
    found: Mode | None = await session.scalar(select(SyncRun.mode).where(SyncRun.id == run_id))
    return found or "incremental"


async def turn_into_sync(
    session: AsyncSession, integration_id: UUID, *, mode: str, trigger: str, requested_by: UUID | None
) -> UUID | None:
    """Lets a run that only maps anew what is stored go on as a sync; None when no such run is going on."""
    turned: UUID | None = await session.scalar(
        update(SyncRun)
        .where(SyncRun.integration_id == integration_id, IS_ACTIVE, SyncRun.trigger == REMAP)
        .values(mode=mode, trigger=trigger, requested_by=requested_by)
        .returning(SyncRun.id)
    )
    return turned


async def find_run(session: AsyncSession, run_id: UUID) -> SyncRun | None:
    """A run by its id."""
    return await session.get(SyncRun, run_id)


async def find_progress(connection: asyncpg.Connection, run_id: UUID) -> Row | None:
    """The `state` of a run and its `last_event`: all that a stream needs to know of it."""
    found: Row | None = await connection.fetchrow(
        "SELECT id, dataset_id, state, last_event FROM sync_runs WHERE id = $1", run_id, record_class=Row
    )
    return found


async def finish(
    session: AsyncSession,
    *,
    run_id: UUID,
    event: NewEvent,
    where: Sequence[Any] = (),
    by: Principal | None = None,
    **values: Any,
) -> bool:
    """Ends a run that is going on, under extra conditions; says whether it did. Writes the terminal event and the
    audit's entry, of a worker unless somebody's word has ended it.

    Its phase stays where it was: a failed run tells how far it came, and can be resumed there.
    """
    going_on = (SyncRun.id == run_id, IS_ACTIVE, *where)
    told = await run_log.tell(session, *going_on, events=[event], values={"finished_at": func.now(), **values})
    if told is None:
        return False
    await record_end(session, run_id, by=by)
    return True


async def write_first_event(session: AsyncSession, *, run_id: UUID, event: NewEvent) -> None:
    """Says something about a run that is queued and has said nothing yet; nothing about others."""
    is_silent = (SyncRun.id == run_id, SyncRun.state == RunState.QUEUED, SyncRun.last_event == 0)
    await run_log.tell(session, *is_silent, events=[event])


async def page_of_runs(
    session: AsyncSession, *, integration_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[SyncRun]:
    """Runs of an integration (or of what was one), newest first."""
    query = select(SyncRun).where(SyncRun.dataset_id == integration_id)
    if before is not None:
        query = query.where(text("(created_at, id) < (:at, :id)").bindparams(at=before[0], id=before[1]))
    found = await session.scalars(query.order_by(SyncRun.created_at.desc(), SyncRun.id.desc()).limit(limit))
    return list(found)


async def latest_sync(session: AsyncSession, integration_id: UUID) -> SyncRun | None:
    """The newest run of an integration (or of what was one), of those that asked the source or still may."""
    syncs = or_(SyncRun.trigger != REMAP, IS_ACTIVE)
    query = select(SyncRun).where(SyncRun.dataset_id == integration_id, syncs)
    return await session.scalar(query.order_by(SyncRun.created_at.desc(), SyncRun.id.desc()).limit(1))


async def overtaken_runs(session: AsyncSession) -> list[tuple[UUID, bool]]:
    """Active runs whose integration is gone (True), or reads another source since they began (False), locked.

    Not those that are in the middle of a step, which may be a long one: the others do not wait for it.
    """
    found = await session.execute(
        text("""
            SELECT r.id, r.integration_id IS NULL AS gone FROM sync_runs r
            LEFT JOIN integrations i ON i.id = r.integration_id
            WHERE r.state IN ('queued', 'running')
              AND (r.integration_id IS NULL
                   OR (r.fingerprint IS NOT NULL AND r.fingerprint IS DISTINCT FROM i.fingerprint))
            FOR UPDATE OF r SKIP LOCKED
        """)
    )
    return [(row.id, row.gone) for row in found]


async def purged_since(session: AsyncSession, since: datetime) -> tuple[bool, datetime]:
    """Whether anything was purged since then, and until when that is known for sure: some may not be committed yet."""
    found = await session.execute(
        text("""
            SELECT now() - interval '10 minutes' AS known_until, EXISTS (
                SELECT FROM audit_entries
                WHERE at >= :since AND (action = 'knowledge.purge'
                   OR action = 'integration.delete' AND details ->> 'purge' = 'true')) AS was_purged
        """),
        {"since": since},
    )
    row = found.one()
    return row.was_purged, row.known_until


async def may_start_remap(session: AsyncSession) -> bool:
    """Whether no remap is going on; holds off other workers that ask until the transaction ends."""
    if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(hashtextextended('start-remap', 0))")):
        return False
    going_on = exists().where(SyncRun.trigger == REMAP, IS_ACTIVE)
    return not await session.scalar(select(going_on))


async def runs_without_a_job(session: AsyncSession, *, entrypoint: str) -> list[UUID]:
    """Runs that are queued or running and that no job in the queue stands for, oldest first."""
    found = await session.execute(
        text("""
            SELECT r.id FROM sync_runs r
            WHERE r.state IN ('queued', 'running') AND NOT EXISTS (
                SELECT FROM pgqueuer j
                WHERE j.dedupe_key = :entrypoint || ':' || r.id AND j.status IN ('queued', 'picked')
            )
            ORDER BY r.created_at
        """),
        {"entrypoint": entrypoint},
    )
    return list(found.scalars())


async def reopen(session: AsyncSession, run: SyncRun, *, message: str) -> None:
    """Puts a failed run back into the queue; its old last event becomes news, for the log goes on after it."""
    news = progress(message)
    await session.execute(
        update(SyncEvent)
        .where(SyncEvent.run_id == run.id, SyncEvent.seq == run.last_event)
        .values(event=news.event, payload=news.payload)
    )
    await session.execute(
        update(SyncRun)
        .where(SyncRun.id == run.id)
        .values(
            state=RunState.QUEUED,
            worker_id=None,
            finished_at=None,
            error=None,
            remedy=None,
            # Its tries are counted anew.
            handovers=SyncRun.attempt,
        )
    )
