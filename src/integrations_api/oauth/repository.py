"""Questions and statements about tokens and begun sign-ins. Each works in its caller's transaction.

Who wants both the integration's row and its tokens' row takes them in that order.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.integrations.models import Integration, OAuthTokens
from integrations_api.oauth.models import OAuthFlow


async def find_tokens(session: AsyncSession, integration_id: UUID) -> OAuthTokens | None:
    """The tokens' row as it is now."""
    question = select(OAuthTokens).where(OAuthTokens.integration_id == integration_id)
    return (await session.scalars(question.execution_options(populate_existing=True))).one_or_none()


async def ensure_tokens_row(session: AsyncSession, integration_id: UUID, *, application: str) -> bool:
    """Makes an empty row where there is none; says whether there is an integration to have one."""
    integration = (
        select(Integration.id).where(Integration.id == integration_id).with_for_update(read=True, key_share=True)
    )
    if await session.scalar(integration) is None:
        return False
    row = insert(OAuthTokens).values(integration_id=integration_id, application=application)
    await session.execute(row.on_conflict_do_nothing())
    return True


async def lock_tokens(session: AsyncSession, integration_id: UUID, *, patience: timedelta) -> OAuthTokens | None:
    """The tokens' row, locked: whoever renews holds it from before the question until the answer is stored.

    Waits for `patience` at most, then the database refuses. As long, and no longer, the transaction may stand idle
    while the authorization server is asked.
    """
    milliseconds = int(patience.total_seconds() * 1000)
    await session.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
    await session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"))
    question = select(OAuthTokens).where(OAuthTokens.integration_id == integration_id).with_for_update()
    return (await session.scalars(question.execution_options(populate_existing=True))).one_or_none()


async def write_tokens(
    session: AsyncSession,
    integration_id: UUID,
    *,
    application: str,
    ciphertext: bytes | None,
    renew_at: datetime | None,
    after_generation: int | None = None,
) -> bool:
    """Writes new tokens (or that there are none), and says whether it did: not where they are of another generation."""
    statement = update(OAuthTokens).where(OAuthTokens.integration_id == integration_id)
    if after_generation is not None:
        statement = statement.where(OAuthTokens.generation == after_generation)
    statement = statement.values(
        application=application,
        ciphertext=ciphertext,
        renew_at=renew_at,
        set_at=func.clock_timestamp(),
        generation=OAuthTokens.generation + 1,
    )
    done = await session.execute(statement.returning(OAuthTokens.generation))
    return done.first() is not None


async def take_flow(session: AsyncSession, state_hash: bytes, *, begun_after: datetime) -> OAuthFlow | None:
    """A sign-in that was begun, which is its first and only use; None for one that is too old, too."""
    statement = delete(OAuthFlow).where(OAuthFlow.state_hash == state_hash).returning(OAuthFlow)
    flow = (await session.scalars(statement)).one_or_none()
    return flow if flow is not None and flow.created_at > begun_after else None


async def forget_flows(session: AsyncSession, *, begun_before: datetime) -> None:
    """Deletes sign-ins that nobody can complete any more."""
    await session.execute(delete(OAuthFlow).where(OAuthFlow.created_at < begun_before))
