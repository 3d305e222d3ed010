"""Questions about users. Each works in its caller's transaction."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.models import User, UserLink
from integrations_api.access.permissions import Permission
from integrations_api.db.direct import Row

_ADMINISTRATION_LOCK = 7_215_002


async def find_by_email(session: AsyncSession, email: str) -> User | None:
    """The user of a normal e-mail."""
    found: User | None = await session.scalar(select(User).where(User.email == email))
    return found


async def find_caller(connection: asyncpg.Connection, user_id: UUID) -> Row | None:
    """What each request needs to know of who makes it; every request asks this."""
    found: Row | None = await connection.fetchrow(
        "SELECT id, email, permissions, token_generation, disabled_at FROM users WHERE id = $1",
        user_id,
        record_class=Row,
    )
    return found


async def find_locked(session: AsyncSession, user_id: UUID) -> User | None:
    """The user's row, kept from other changes until the transaction ends."""
    found: User | None = await session.scalar(select(User).where(User.id == user_id).with_for_update())
    return found


async def by_email(session: AsyncSession, *, limit: int | None = None, after: str | None = None) -> Sequence[User]:
    """Users in the order of their e-mails."""
    question = select(User).order_by(User.email).limit(limit)
    if after is not None:
        question = question.where(User.email > after)
    return (await session.scalars(question)).all()


async def one_change_at_a_time(session: AsyncSession) -> None:
    """Waits for other changes of who may do what: two admins must not remove each other at the same moment."""
    await session.execute(select(func.pg_advisory_xact_lock(_ADMINISTRATION_LOCK)))


async def count_managers(session: AsyncSession) -> int:
    """How many users can sign in and manage users."""
    question = select(func.count()).where(
        User.permissions.contains([Permission.USER_MANAGE.value]),
        User.disabled_at.is_(None),
        User.password_hash.is_not(None),
    )
    return await session.scalar(question) or 0


async def find_link(session: AsyncSession, digest: bytes, *, lock: bool = False) -> tuple[UserLink, User] | None:
    """A link by the hash of its token, and whose it is. The lock is that of the user's row: who holds it may change his
    link, so whoever took both rows in the other order could wait for him while he waits for the link.
    """
    its_user = User.id == UserLink.user_id
    if lock:
        question = select(User.id).join(UserLink, its_user).where(UserLink.hash == digest).with_for_update(of=User)
        await session.execute(question)
    found = await session.execute(select(UserLink, User).join(User, its_user).where(UserLink.hash == digest))
    row = found.one_or_none()
    return None if row is None else (row[0], row[1])


async def void_link(session: AsyncSession, user_id: UUID) -> None:
    """Takes back the one-time link of a user, if he has one that is not used."""
    await session.execute(delete(UserLink).where(UserLink.user_id == user_id))
