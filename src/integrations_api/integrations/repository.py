"""Questions about integrations, of those who work in a session: syncs, schedules and sign-ins. Each works in its
caller's transaction. What people ask for through the API is in `statements`."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.integrations.models import Integration, IntegrationSecret


async def find(session: AsyncSession, integration_id: UUID, *, lock: bool = False) -> Integration | None:
    """An integration as it is now; `lock` keeps edits out until the transaction ends."""
    question = select(Integration).where(Integration.id == integration_id)
    if lock:
        question = question.with_for_update()
    return (await session.scalars(question.execution_options(populate_existing=True))).one_or_none()


async def find_with_secrets(session: AsyncSession, integration_id: UUID) -> tuple[Integration, dict[str, bytes]] | None:
    """An integration as it is now, and its ciphertexts by the JSON pointer of their place in the config.

    In one statement: with an edit between two, the new password would be sent to the old address.
    """
    question = (
        select(Integration, IntegrationSecret.path, IntegrationSecret.ciphertext)
        .outerjoin(IntegrationSecret, IntegrationSecret.integration_id == Integration.id)
        .where(Integration.id == integration_id)
    )
    rows = (await session.execute(question.execution_options(populate_existing=True))).all()
    return (rows[0][0], {path: sealed for _, path, sealed in rows if path is not None}) if rows else None


async def lock_due(session: AsyncSession, *, limit: int) -> list[Integration]:
    """Scheduled integrations whose time has come by the database's clock, locked; those that another process holds are
    passed over.

    The lock lets runs be added that refer to them: who adds one may be waited for.
    """
    found = await session.scalars(
        select(Integration)
        .where(Integration.next_sync_at <= func.now(), Integration.is_active, Integration.paused_reason.is_(None))
        .order_by(Integration.next_sync_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return list(found)
