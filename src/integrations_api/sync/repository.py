"""Questions and statements about runs. Each works in its caller's transaction.

`advance` is the fence: the first statement of every transaction of a run.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.principal import Principal
from integrations_api.db.direct import Row
from integrations_api.db.notify import notify
from integrations_api.queue.models import Worker
from integrations_api.sync.events import LoggedEvent, NewEvent, progress
from integrations_api.sync.models import SyncEvent, SyncRun
from integrations_api.sync.recording import record_end
from integrations_api.sync.runs import REMAP, Claim, Fenced, RunState

CHANNEL = "sync_events"
ACTIVE = (RunState.QUEUED, RunState.RUNNING)


async def insert_run(session: AsyncSession, **values: Any) -> bool:
    """Adds a queued run unless the integration has one that is going on; says whether it did."""
    return bool(await insert_runs(session, [values]))


async def insert_runs(session: AsyncSession, runs: Sequence[Mapping[str, Any]]) -> set[UUID]:
    """Adds queued runs of integrations that have none that is going on; the ids of those it added."""
    added = await session.scalars(
        pg_insert(SyncRun)
        .values([dict(run) for run in runs])
        .on_conflict_do_nothing(
            index_elements=[SyncRun.integration_id], index_where=text("state IN ('queued', 'running')")
        )
        .returning(SyncRun.id)
    )
    return set(added)


async def find_active(session: AsyncSession, integration_id: UUID) -> SyncRun | None:
    """The run of an integration that is queued or running."""
    return await session.scalar(
        select(SyncRun).where(SyncRun.integration_id == integration_id, SyncRun.state.in_(ACTIVE))
    )


async def busy_among(session: AsyncSession, integration_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the integrations that have a run which is queued or running."""
    statement = select(SyncRun.integration_id).where(
        SyncRun.integration_id.in_(integration_ids), SyncRun.state.in_(ACTIVE)
    )
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


async def mode_of(session: AsyncSession, run_id: UUID) -> str:
    """What is asked of a run by now: a remap may have become a full sync since it was claimed."""
    found: str | None = await session.scalar(select(SyncRun.mode).where(SyncRun.id == run_id))
    return found or "incremental"


async def turn_into_sync(
    session: AsyncSession, integration_id: UUID, *, mode: str, trigger: str, requested_by: UUID | None
) -> UUID | None:
    """Lets a run that only maps anew what is stored go on as a sync; None when no such run is going on."""
    turned: UUID | None = await session.scalar(
        update(SyncRun)
        .where(SyncRun.integration_id == integration_id, SyncRun.state.in_(ACTIVE), SyncRun.trigger == REMAP)
        .values(mode=mode, trigger=trigger, requested_by=requested_by)
        .returning(SyncRun.id)
        .execution_options(synchronize_session=False)
    )
    return turned


async def find_run(session: AsyncSession, run_id: UUID) -> SyncRun | None:
    """A run by its id."""
    return await session.get(SyncRun, run_id)


async def claim(
    session: AsyncSession, *, run_id: UUID, worker_id: UUID, now: datetime, silence: timedelta
) -> SyncRun | None:
    """Takes a run that is queued, or whose worker is silent: raises its attempt, so that whoever had it is fenced off.

    None when the run has ended, or when a living worker is busy with it.
    """
    alive = exists().where(
        Worker.id == SyncRun.worker_id,
        Worker.seen_at > func.now() - silence,
        SyncRun.id == Worker.busy_with.any_(),
    )
    return await session.scalar(
        update(SyncRun)
        .where(SyncRun.id == run_id, SyncRun.state.in_(ACTIVE), or_(SyncRun.state == RunState.QUEUED, ~alive))
        .values(
            state=RunState.RUNNING,
            attempt=SyncRun.attempt + 1,
            worker_id=worker_id,
            started_at=func.coalesce(SyncRun.started_at, now),
            progress_at=now,
        )
        .returning(SyncRun)
        .execution_options(synchronize_session=False)
    )


async def advance(session: AsyncSession, claim: Claim, *, step: int, now: datetime) -> None:
    """The fence: the first statement of every transaction of a run. Moves it one step on, or raises `Fenced`.

    `step` is the number of committed steps the caller knows of; see `was_done` for a commit whose answer got lost.
    """
    advanced = await session.execute(
        update(SyncRun)
        .where(
            SyncRun.id == claim.run_id,
            SyncRun.attempt == claim.attempt,
            SyncRun.state == RunState.RUNNING,
            SyncRun.step == step,
            SyncRun.integration_id.is_not(None),
        )
        # What was on its way when the source asked to wait is no progress that ends the wait.
        .values(step=SyncRun.step + 1, progress_at=func.greatest(SyncRun.progress_at, now))
        .returning(SyncRun.id)
        .execution_options(synchronize_session=False)
    )
    if advanced.scalar() is None:
        raise Fenced


async def check_claim(session: AsyncSession, claim: Claim) -> None:
    """For what is written beside the steps of a run: raises `Fenced` unless the run is the caller's.

    The dataset's row is held first: a purge locks it, and must not be overtaken by a text it has removed.
    """
    held = text("SELECT FROM datasets WHERE id = (SELECT dataset_id FROM sync_runs WHERE id = :run) FOR KEY SHARE")
    await session.execute(held, {"run": claim.run_id})
    mine = select(SyncRun.id).where(
        SyncRun.id == claim.run_id,
        SyncRun.attempt == claim.attempt,
        SyncRun.state == RunState.RUNNING,
        SyncRun.integration_id.is_not(None),
    )
    if await session.scalar(mine) is None:
        raise Fenced


async def conclude(
    session: AsyncSession, run_id: UUID, *, events: Sequence[NewEvent], values: Mapping[str, Any]
) -> list[LoggedEvent]:
    """The last statements of a step's transaction: the run's row as it is now, its events, and its end in the audit."""
    last = await session.scalar(
        update(SyncRun)
        .where(SyncRun.id == run_id)
        .values(last_event=SyncRun.last_event + len(events), **values)
        .returning(SyncRun.last_event)
        .execution_options(synchronize_session=False)
    )
    assert last is not None
    if "state" in values and RunState(values["state"]).is_final:
        await record_end(session, run_id)
    return await write_events(session, run_id=run_id, last=last, events=events)


# One statement, however many events: a batch event is written for every five incidents.
_WRITE_EVENTS = text("""
    INSERT INTO sync_events (run_id, seq, event, payload)
    SELECT :run, :first + e.place - 1, e.event, e.payload
    FROM unnest(CAST(:events AS text[]), CAST(:payloads AS text[])) WITH ORDINALITY AS e(event, payload, place)
""")


async def write_events(
    session: AsyncSession, *, run_id: UUID, last: int, events: Sequence[NewEvent]
) -> list[LoggedEvent]:
    """Adds events that end with seq `last`, drawn under the run's row lock, and nudges who listens."""
    first = last - len(events) + 1
    logged = [LoggedEvent(seq=first + i, event=e.event, payload=e.payload) for i, e in enumerate(events)]
    if logged:
        facts = {
            "run": run_id,
            "first": first,
            "events": [e.event for e in logged],
            "payloads": [e.payload for e in logged],
        }
        await session.execute(_WRITE_EVENTS, facts)
        await notify(session, CHANNEL, str(run_id))
    return logged


async def was_done(session: AsyncSession, claim: Claim, *, step: int) -> bool:
    """Whether the step was committed although its answer got lost."""
    found = await session.scalar(
        select(SyncRun.step).where(SyncRun.id == claim.run_id, SyncRun.attempt == claim.attempt)
    )
    return found == step + 1


async def events_after(connection: asyncpg.Connection, *, run_id: UUID, seq: int, limit: int) -> list[LoggedEvent]:
    """The run log after a seq, oldest first."""
    rows = await connection.fetch(
        "SELECT seq, event, payload FROM sync_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        run_id,
        seq,
        limit,
    )
    return [LoggedEvent(*row) for row in rows]


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
    last = await session.scalar(
        update(SyncRun)
        .where(SyncRun.id == run_id, SyncRun.state.in_(ACTIVE), *where)
        .values(last_event=SyncRun.last_event + 1, finished_at=func.now(), **values)
        .returning(SyncRun.last_event)
        .execution_options(synchronize_session=False)
    )
    if last is None:
        return False
    await record_end(session, run_id, by=by)
    await write_events(session, run_id=run_id, last=last, events=[event])
    return True


async def write_first_event(session: AsyncSession, *, run_id: UUID, event: NewEvent) -> bool:
    """Says something about a run that is queued and has said nothing yet."""
    last = await session.scalar(
        update(SyncRun)
        .where(SyncRun.id == run_id, SyncRun.state == RunState.QUEUED, SyncRun.last_event == 0)
        .values(last_event=1)
        .returning(SyncRun.last_event)
        .execution_options(synchronize_session=False)
    )
    if last is None:
        return False
    await write_events(session, run_id=run_id, last=last, events=[event])
    return True


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
    syncs = or_(SyncRun.trigger != REMAP, SyncRun.state.in_(ACTIVE))
    query = select(SyncRun).where(SyncRun.dataset_id == integration_id, syncs)
    return await session.scalar(query.order_by(SyncRun.created_at.desc(), SyncRun.id.desc()).limit(1))


async def release(session: AsyncSession, claim: Claim, *, handed_over: bool) -> None:
    """Gives a run back to the queue, for another worker to go on with; a handover is not counted as a try."""
    await session.execute(
        update(SyncRun)
        .where(SyncRun.id == claim.run_id, SyncRun.attempt == claim.attempt, SyncRun.state == RunState.RUNNING)
        .values(state=RunState.QUEUED, worker_id=None, handovers=SyncRun.handovers + int(handed_over))
        .execution_options(synchronize_session=False)
    )


async def wait_until(session: AsyncSession, claim: Claim, *, until: datetime, event: NewEvent) -> None:
    """Tells that the source makes the run wait, and that this is not being stuck. Raises `Fenced`."""
    last = await session.scalar(
        update(SyncRun)
        .where(SyncRun.id == claim.run_id, SyncRun.attempt == claim.attempt, SyncRun.state == RunState.RUNNING)
        .values(progress_at=until, last_event=SyncRun.last_event + 1)
        .returning(SyncRun.last_event)
        .execution_options(synchronize_session=False)
    )
    if last is None:
        raise Fenced
    await write_events(session, run_id=claim.run_id, last=last, events=[event])


async def moving_runs(session: AsyncSession, claims: Sequence[Claim], *, since: datetime) -> set[UUID]:
    """Those of the claimed runs that nobody else has taken or ended, and that made progress since then."""
    found = await session.execute(
        select(SyncRun.id, SyncRun.attempt).where(
            SyncRun.id.in_([claim.run_id for claim in claims]),
            SyncRun.state == RunState.RUNNING,
            SyncRun.progress_at > since,
        )
    )
    attempts = {row.id: row.attempt for row in found}
    return {claim.run_id for claim in claims if attempts.get(claim.run_id) == claim.attempt}


async def overtaken_runs(session: AsyncSession) -> list[tuple[UUID, bool]]:
    """Active runs whose integration is gone (True), or reads another source since they began (False)."""
    found = await session.execute(
        text("""
            SELECT r.id, r.integration_id IS NULL AS gone FROM sync_runs r
            LEFT JOIN integrations i ON i.id = r.integration_id
            WHERE r.state IN ('queued', 'running')
              AND (r.integration_id IS NULL
                   OR (r.fingerprint IS NOT NULL AND r.fingerprint IS DISTINCT FROM i.fingerprint))
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
    going_on = exists().where(SyncRun.trigger == REMAP, SyncRun.state.in_(ACTIVE))
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
        .execution_options(synchronize_session=False)
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
        .execution_options(synchronize_session=False)
    )
