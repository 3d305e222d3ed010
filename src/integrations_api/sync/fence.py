"""What an attempt does to its run, and only as long as the run is its own. Each works in its caller's transaction.

`advance` is the fence: the first statement of every step of a run. What is written beside the steps begins with
`check_claim`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.queue.models import Worker
from integrations_api.sync import run_log
from integrations_api.sync.events import LoggedEvent, NewEvent
from integrations_api.sync.models import IS_ACTIVE, SyncRun
from integrations_api.sync.recording import record_end
from integrations_api.sync.runs import Claim, Fenced, RunState, is_final


def held_by(claim: Claim) -> Sequence[ColumnElement[bool]]:
    """Conditions: nobody else has taken the run since, and it has not ended."""
    return (
        SyncRun.id == claim.run_id,
        SyncRun.attempt == claim.attempt,
        SyncRun.worker_id == claim.worker_id,
        SyncRun.state == RunState.RUNNING,
    )


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
        .where(SyncRun.id == run_id, IS_ACTIVE, or_(SyncRun.state == RunState.QUEUED, ~alive))
        .values(
            state=RunState.RUNNING,
            attempt=SyncRun.attempt + 1,
            worker_id=worker_id,
            started_at=func.coalesce(SyncRun.started_at, now),
            progress_at=now,
        )
        .returning(SyncRun)
    )


async def advance(session: AsyncSession, claim: Claim, *, step: int, now: datetime) -> None:
    """Moves the run one step on, or raises `Fenced`.

    `step` is the number of committed steps the caller knows of; see `was_done` for a commit whose answer got lost.
    """
    advanced = await session.execute(
        update(SyncRun)
        .where(*held_by(claim), SyncRun.step == step, SyncRun.integration_id.is_not(None))
        # What was on its way when the source asked to wait is no progress that ends the wait.
        .values(step=SyncRun.step + 1, progress_at=func.greatest(SyncRun.progress_at, now))
        .returning(SyncRun.id)
    )
    if advanced.scalar() is None:
        raise Fenced


async def check_claim(session: AsyncSession, claim: Claim) -> None:
    """For what is written beside the steps of a run: raises `Fenced` unless the run is the caller's.

    The dataset's row is held first: a purge locks it, and must not be overtaken by a text it has removed.
    """
    held = text("SELECT FROM datasets WHERE id = (SELECT dataset_id FROM sync_runs WHERE id = :run) FOR KEY SHARE")
    await session.execute(held, {"run": claim.run_id})
    mine = select(SyncRun.id).where(*held_by(claim), SyncRun.integration_id.is_not(None))
    if await session.scalar(mine) is None:
        raise Fenced


async def conclude(
    session: AsyncSession, run_id: UUID, *, events: Sequence[NewEvent], values: Mapping[str, Any]
) -> list[LoggedEvent]:
    """The last statements of a step's transaction: the run's row as it is now, its events, and its end in the audit."""
    logged = await run_log.tell(session, SyncRun.id == run_id, events=events, values=values)
    assert logged is not None
    if "state" in values and is_final(values["state"]):
        await record_end(session, run_id)
    return logged


async def was_done(session: AsyncSession, claim: Claim, *, step: int) -> bool:
    """Whether the step was committed although its answer got lost."""
    found = await session.scalar(
        select(SyncRun.step).where(
            SyncRun.id == claim.run_id, SyncRun.attempt == claim.attempt, SyncRun.worker_id == claim.worker_id
        )
    )
    return found == step + 1


async def wait_until(session: AsyncSession, claim: Claim, *, until: datetime, event: NewEvent) -> None:
    """Tells that the source makes the run wait, and that this is not being stuck. Raises `Fenced`."""
    if await run_log.tell(session, *held_by(claim), events=[event], values={"progress_at": until}) is None:
        raise Fenced


async def release(session: AsyncSession, claim: Claim, *, handed_over: bool) -> None:
    """Gives a run back to the queue, for another worker to go on with; a handover is not counted as a try."""
    await session.execute(
        update(SyncRun)
        .where(*held_by(claim))
        .values(state=RunState.QUEUED, worker_id=None, handovers=SyncRun.handovers + int(handed_over))
    )


async def moving_runs(session: AsyncSession, claims: Sequence[Claim], *, since: datetime) -> set[UUID]:
    """Those of the claimed runs that nobody else has taken or ended, and that made progress since then, or are in a
    step: comparing or publishing millions is a single one, of which nothing is told until it is committed.
    """
    found = await session.execute(
        select(SyncRun.id, SyncRun.attempt, SyncRun.worker_id, (SyncRun.progress_at > since).label("moves")).where(
            SyncRun.id.in_([claim.run_id for claim in claims]), SyncRun.state == RunState.RUNNING
        )
    )
    moves = {Claim(run_id=row.id, attempt=row.attempt, worker_id=row.worker_id): row.moves for row in found}
    standing = [claim.run_id for claim in claims if moves.get(claim) is False]
    in_a_step = set(standing) - await _free(session, standing) if standing else set()
    return {claim.run_id for claim in claims if moves.get(claim)} | in_a_step


async def _free(session: AsyncSession, run_ids: Sequence[UUID]) -> set[UUID]:
    """Those whose row nobody holds: a step does until it is committed, on the server that is asked here."""
    free = select(SyncRun.id).where(SyncRun.id.in_(run_ids)).with_for_update(read=True, skip_locked=True)
    return set(await session.scalars(free))
