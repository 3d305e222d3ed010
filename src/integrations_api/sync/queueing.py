"""A new run: its row, its job, and its line in the audit, all in the caller's transaction."""

from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.principal import Principal
from integrations_api.connectors.records import Mode
from integrations_api.queue.jobs import enqueue
from integrations_api.sync import repository
from integrations_api.sync.recording import record_start
from integrations_api.sync.runs import ENTRYPOINT


async def queue_run(
    session: AsyncSession, integration_id: UUID, *, mode: Mode, trigger: str, by: Principal | None = None
) -> UUID | None:
    """Queues a run, by somebody or else by a worker whose duty it is; None where one is going on already."""
    run_id = uuid4()
    added = await repository.insert_run(
        session,
        id=run_id,
        integration_id=integration_id,
        dataset_id=integration_id,
        mode=mode,
        trigger=trigger,
        requested_by=by.user_id if by else None,
    )
    if not added:
        return None
    await enqueue(session, entrypoint=ENTRYPOINT, keys=[str(run_id)])
    await record_start(session, run_id=run_id, dataset_id=integration_id, mode=mode, trigger=trigger, by=by)
    return run_id
