"""The last transaction of a run: the version becomes the head, and everything that goes with it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import to_wire
from integrations_api.connectors.records import SourceCount
from integrations_api.integrations import for_sync
from integrations_api.knowledge import datasets, gap, staging, versions
from integrations_api.knowledge.staging import Plan
from integrations_api.sync import events
from integrations_api.sync.journal import StepResult
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import Phase, RunState
from integrations_api.sync.verdict import MOST_NAMED, judge


class Brake(Struct, frozen=True):
    """When a version is held instead of published: it would remove too much of a dataset."""

    share: float
    minimum: int

    def holds(self, *, deleted: int, live: int) -> bool:
        """Whether removing `deleted` of `live` documents needs an admin's word."""
        return deleted >= self.minimum and deleted > self.share * live


async def end_run(
    session: AsyncSession,
    *,
    run: SyncRun,
    source: SourceCount,
    at: datetime,
    brake: Brake,
) -> StepResult:
    """Publishes what the run has built, or holds it, or only moves time stamps when nothing has changed."""
    plan = await staging.planned(session, run.id)
    live = await datasets.count_live(session, run.dataset_id)
    if run.version is not None and brake.holds(deleted=plan.deleted, live=live):
        return await _hold(session, run=run, plan=plan, live=live, at=at)
    return await publish_run(session, run=run, plan=plan, source=source, at=at)


async def publish_run(
    session: AsyncSession,
    *,
    run: SyncRun,
    plan: Plan,
    source: SourceCount,
    at: datetime,
) -> StepResult:
    """The version becomes the head; watermark, verdict and status go with it."""
    assert run.integration_id is not None
    reads_from = None if run.mode == "full" else run.reads_from
    begins = await datasets.note_extent(session, dataset_id=run.dataset_id, reads_from=reads_from)
    if run.version is not None:
        await versions.publish(session, dataset_id=run.dataset_id, version=run.version, plan=plan, at=at)
    elif plan.touched:
        await versions.touch_head(session, run_id=run.id, dataset_id=run.dataset_id)
    await versions.settle_rejections(session, run_id=run.id, dataset_id=run.dataset_id)
    verdict = await _verdict(session, run=run, source=source, begins=begins)
    await for_sync.record_success(
        session,
        run.integration_id,
        at=at,
        watermark=run.next_watermark,
        fingerprint=run.fingerprint,
        reads_from=run.reads_from,
    )
    told = await _complete(session, run=run, stats=_stats(run, at=at, verdict=verdict))
    return StepResult(
        events=[told],
        values={"state": RunState.SUCCEEDED, "phase": Phase.DONE, "finished_at": at, "verdict": verdict},
    )


def _is_held(version: int) -> str:
    """How everything that is told of a held version begins, until somebody has decided."""
    return f"Version {version} is held"


async def tell_decided(session: AsyncSession, dataset_id: UUID, version: int | None, decision: str) -> None:
    """The integration asks no longer about a held version; None: there was none."""
    if version is not None:
        message = f"Version {version} was held, and {decision}"
        await for_sync.retell(session, dataset_id, begins=_is_held(version), message=message)


async def _hold(session: AsyncSession, *, run: SyncRun, plan: Plan, live: int, at: datetime) -> StepResult:
    """Leaves readers and watermark where they are and says what there is to decide."""
    assert run.integration_id is not None
    assert run.version is not None
    await versions.hold(session, dataset_id=run.dataset_id, version=run.version, plan=plan)
    message = (
        f"{_is_held(run.version)}: it would remove {plan.deleted} of {live} documents. Look at its diff, then "
        f"publish or discard it under /knowledge/datasets/{run.dataset_id}/versions/{run.version}; "
        "a new sync discards it"
    )
    await for_sync.record_failure(session, run.integration_id, at=at, message=message, pause_after=1)
    told = await _complete(
        session,
        run=run,
        stats=_stats(run, at=None, verdict=None),
        held=True,
        message=message,
    )
    return StepResult(events=[told], values={"state": RunState.HELD, "phase": Phase.PUBLISHING, "finished_at": at})


async def _complete(session: AsyncSession, *, run: SyncRun, stats: dict[str, Any], **more: Any) -> events.NewEvent:
    assert run.integration_id is not None
    integration = await for_sync.shown(session, run.integration_id)
    return events.complete(integration=integration, stats=stats, **more)


async def _verdict(
    session: AsyncSession, *, run: SyncRun, source: SourceCount, begins: datetime | None
) -> dict[str, Any]:
    assert run.source_started_at is not None
    dataset_id, until = run.dataset_id, run.source_started_at
    # A full run has read all, and counts all. What finds a change or two every few minutes goes by what was counted.
    count = versions.count_live_until if run.mode == "full" else versions.count_head_until
    stored = await count(session, dataset_id=dataset_id, created_until=until)
    unmapped: Sequence[str] = []
    if run.rejected:
        unmapped = await gap.unmapped(session, dataset_id=dataset_id, created_until=until)
    verdict = judge(
        source=source,
        stored=stored,
        rejected=run.rejected,
        unmapped=len(unmapped),
        partial_since=to_wire(begins),
        read_all=run.mode == "full",
    )
    if run.mode == "full":
        verdict["ids"] = await _ids_of_gap(session, verdict["state"], run=run, unmapped=unmapped)
    await datasets.save_verdict(session, dataset_id=dataset_id, verdict=verdict)
    return verdict


async def _ids_of_gap(
    session: AsyncSession, state: str, *, run: SyncRun, unmapped: Sequence[str]
) -> Sequence[str] | None:
    """What a full run knows by id of what is missing, or too much; None where nothing is."""
    assert run.source_started_at is not None
    dataset_id, until = run.dataset_id, run.source_started_at
    if state == "short":
        found = [*unmapped, *await gap.hidden(session, dataset_id=dataset_id, created_until=until)]
    elif state == "over":
        found = await staging.unseen_documents(session, run_id=run.id, dataset_id=dataset_id, created_until=until)
    else:
        return None
    return sorted(found)[:MOST_NAMED]


def _stats(run: SyncRun, *, at: datetime | None, verdict: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "added": run.added,
        "total": run.added + run.updated,
        "last_synced": to_wire(at),
        "updated": run.updated,
        "unchanged": run.unchanged,
        "deleted": run.deleted,
        "rejected": run.rejected,
        "version": run.version,
        "verdict": verdict,
    }
