"""The beginning and the end of a run in the audit, in the transactions in which they happen."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.principal import Principal
from integrations_api.audit import service as audit
from integrations_api.sync.models import SyncRun

_COUNTS = ("added", "updated", "unchanged", "deleted", "rejected")


async def record_start(
    session: AsyncSession, *, run_id: UUID, dataset_id: UUID, mode: str, trigger: str, by: Principal | None = None
) -> None:
    """A run was queued, by somebody or else by a worker whose duty it was."""
    await _record(session, "sync.start", dataset_id, by, {"run_id": str(run_id), "mode": mode, "trigger": trigger})


async def record_end(session: AsyncSession, run_id: UUID, *, by: Principal | None = None) -> None:
    """A run has come to its end, by somebody's word or else in a worker; call it after the row says so.

    The words of its error are left out: a source may have chosen them, and nothing is ever taken out of the audit.
    """
    run = await session.get_one(SyncRun, run_id, populate_existing=True)
    details = {
        "run_id": str(run_id),
        "state": run.state,
        "mode": run.mode,
        "trigger": run.trigger,
        "requested_by": str(run.requested_by) if run.requested_by else None,
        **{name: getattr(run, name) for name in _COUNTS},
        "version": run.version,
        "verdict": run.verdict["state"] if run.verdict else None,
    }
    await _record(session, "sync.end", run.dataset_id, by, details)


async def record_discard(
    session: AsyncSession, dataset_id: UUID, version: int | None, *, by: Principal | None = None
) -> None:
    """A held version was discarded, by somebody's word or by the run that came next; None: there was none."""
    if version is not None:
        await _record(session, "version.discard", dataset_id, by, {"version": version})


async def _record(
    session: AsyncSession, action: str, dataset_id: UUID, by: Principal | None, details: dict[str, Any]
) -> None:
    await audit.record(
        session,
        action=action,
        object_type="integration",
        object_id=dataset_id,
        principal=by,
        actor=None if by else audit.WORKER,
        details=details,
    )
