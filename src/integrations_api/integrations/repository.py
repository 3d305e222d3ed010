"""Questions about integrations, of those who work in a session: syncs and schedules. Each works in its caller's
transaction. What people ask for through the API is in `statements`."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, column, select, table, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.integrations.models import Integration, IntegrationSecret

# The sync room stands above this one: its table is known here by name only.
_runs = table(
    "sync_runs", column("id", Uuid), column("integration_id", Uuid), column("dataset_id", Uuid), column("state")
)

_running_run_id = (
    select(_runs.c.id)
    .where(_runs.c.integration_id == Integration.id, _runs.c.state.in_(("queued", "running")))
    .correlate(Integration)
    .scalar_subquery()
)

Found = tuple[Integration, UUID | None]
"""An integration and the run that is going on, if there is one."""


async def find(session: AsyncSession, integration_id: UUID) -> Found | None:
    """An integration by its id."""
    question = select(Integration, _running_run_id).where(Integration.id == integration_id)
    row = (await session.execute(question.execution_options(populate_existing=True))).one_or_none()
    return None if row is None else (row[0], row[1])


async def newest_first(
    session: AsyncSession, *, limit: int | None = None, after: tuple[datetime, UUID] | None = None
) -> Sequence[Found]:
    """Integrations by their creation, the newest first; `after` is the last row of the page before."""
    question = select(Integration, _running_run_id).order_by(Integration.created_at.desc(), Integration.id.desc())
    if after is not None:
        question = question.where(tuple_(Integration.created_at, Integration.id) < after)
    rows = await session.execute(question.limit(limit))
    return [(row[0], row[1]) for row in rows]


async def secrets_of(session: AsyncSession, integration_id: UUID) -> dict[str, bytes]:
    """Ciphertexts by the JSON pointer of their place in the config."""
    question = select(IntegrationSecret.path, IntegrationSecret.ciphertext).where(
        IntegrationSecret.integration_id == integration_id
    )
    return {row.path: row.ciphertext for row in await session.execute(question)}


async def lock_due(session: AsyncSession, *, now: datetime, limit: int) -> list[Integration]:
    """Scheduled integrations whose time has come, locked; those that another process holds are passed over.

    The lock lets runs be added that refer to them: who adds one may be waited for.
    """
    found = await session.scalars(
        select(Integration)
        .where(Integration.next_sync_at <= now, Integration.is_active, Integration.paused_reason.is_(None))
        .order_by(Integration.next_sync_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return list(found)
