"""The last transaction of a run: the version becomes the head, and everything that goes with it."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.clock import to_wire
from integrations_api.connectors.records import SourceCount
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge import staging, versions
from integrations_api.sync import events
from integrations_api.sync.journal import StepResult
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import Phase, RunState
from integrations_api.sync.verdict import judge


async def publish_run(
    session: AsyncSession, *, run: SyncRun, integrations: IntegrationService, source: SourceCount, at: datetime
) -> StepResult:
    """Publishes what the run has built, or only moves time stamps when nothing has changed."""
    assert run.integration_id is not None
    plan = await staging.planned(session, run.id)
    if run.version is None:
        await versions.touch_in_place(session, run.id)
    else:
        await versions.publish(session, dataset_id=run.dataset_id, version=run.version, plan=plan, at=at)
    await versions.settle_rejections(session, run_id=run.id, dataset_id=run.dataset_id)
    verdict = await _verdict(session, run=run, source=source)
    await integrations.record_success(
        session,
        run.integration_id,
        at=at,
        watermark=run.next_watermark,
        fingerprint=run.fingerprint,
        reads_from=run.reads_from,
    )
    integration = await integrations.present_by_id(session, run.integration_id)
    told = events.complete(
        integration={**integration, "running_run_id": None}, stats=_stats(run, at=at, verdict=verdict)
    )
    return StepResult(
        events=[told],
        values={"state": RunState.SUCCEEDED, "phase": Phase.DONE, "finished_at": at, "verdict": verdict},
    )


async def _verdict(session: AsyncSession, *, run: SyncRun, source: SourceCount) -> dict[str, Any]:
    assert run.source_started_at is not None
    stored = await versions.live_documents(session, dataset_id=run.dataset_id, created_until=run.source_started_at)
    verdict = judge(source=source, stored=stored, rejected=run.rejected)
    await versions.save_verdict(session, dataset_id=run.dataset_id, verdict=verdict)
    return verdict


def _stats(run: SyncRun, *, at: datetime, verdict: dict[str, Any]) -> dict[str, Any]:
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
