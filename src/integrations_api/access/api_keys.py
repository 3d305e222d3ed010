"""API keys: credentials for scripts, of one user, for some of his permissions and for a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from msgspec import Struct
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.models import ApiKey, User
from integrations_api.access.one_time import digest_of, is_api_key, new_api_key
from integrations_api.access.permissions import Permission, known_permissions, parse_permissions
from integrations_api.access.principal import Principal
from integrations_api.audit import service as audit
from integrations_api.clock import Clock, to_wire
from integrations_api.db.engine import Sessions, cannot_write
from integrations_api.errors import Conflict, NotFound, Unauthenticated

MOST_KEYS = 50
"""Of one user."""
USE_NOTED_EVERY = timedelta(minutes=5)
"""`last_used_at` is written at most so often: a busy script must not write with every request."""


class ApiKeyDetails(Struct, frozen=True):
    """A key without the key itself."""

    id: UUID
    name: str
    permissions: frozenset[Permission]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A key as it is shown, once."""

    details: ApiKeyDetails
    text: str = field(repr=False)


class ApiKeys:
    """Makes, lists, ends and recognises keys."""

    def __init__(self, *, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    async def make(self, *, name: str, permissions: Iterable[str], days: int, principal: Principal) -> MadeKey:
        """A key of the caller. Raises `InvalidInput`, `PermissionDenied` for what he lacks, `Conflict` for too many."""
        granted = parse_permissions(permissions)
        for permission in sorted(granted):
            principal.demand(permission)
        text, now = new_api_key(), self._clock()
        key = ApiKey(
            id=uuid4(),
            user_id=principal.user_id,
            name=name,
            hash=digest_of(text),
            permissions=sorted(granted),
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
        async with self._sessions.begin() as session:
            await _refuse_too_many(session, principal.user_id)
            session.add(key)
            await _record(session, "auth.create_api_key", key, principal)
        return MadeKey(details=_details(key), text=text)

    async def of_user(self, user_id: UUID) -> Sequence[ApiKeyDetails]:
        """A user's keys, newest first."""
        question = select(ApiKey).where(ApiKey.user_id == user_id).order_by(ApiKey.created_at.desc(), ApiKey.id)
        async with self._sessions() as session:
            return [_details(key) for key in await session.scalars(question)]

    async def get(self, key_id: UUID, *, of: UUID) -> ApiKeyDetails:
        """A key of that user. Raises `NotFound`, for another's key too."""
        async with self._sessions() as session:
            return _details(_of(of, await session.get(ApiKey, key_id)))

    async def delete(self, key_id: UUID, *, principal: Principal) -> None:
        """Ends a key of the caller. Raises `NotFound`, for another's key too."""
        async with self._sessions.begin() as session:
            await end_key(session, key_id, of=principal.user_id, by=principal)

    async def recognise(self, text: str) -> Principal:
        """Who the key stands for, with those of its permissions that its user has now. Raises `Unauthenticated`."""
        if not is_api_key(text):
            raise _refused()
        # Compared by hash, so that how long it takes tells nothing of a stored key.
        return await self._recognise(ApiKey.hash == digest_of(text))

    async def recognise_id(self, key_id: UUID) -> Principal:
        """The same for a key that was shown before. Raises `Unauthenticated` when it has ended since."""
        return await self._recognise(ApiKey.id == key_id)

    async def _recognise(self, which: ColumnElement[bool]) -> Principal:
        now = self._clock()
        async with self._sessions() as session:
            question = select(ApiKey, User).join(User, User.id == ApiKey.user_id).where(which)
            row = (await session.execute(question)).one_or_none()
        if row is None:
            raise _refused()
        key, user = row
        if key.expires_at <= now or user.disabled_at is not None:
            raise _refused()
        if key.last_used_at is None or key.last_used_at <= now - USE_NOTED_EVERY:
            await self._note_use(key.id, now)
        permissions = known_permissions(key.permissions) & known_permissions(user.permissions)
        return Principal(user_id=user.id, email=user.email, permissions=permissions, credential=f"key:{key.id}")

    async def _note_use(self, key_id: UUID, now: datetime) -> None:
        stale = ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at <= now - USE_NOTED_EVERY)
        try:
            async with self._sessions.begin() as session:
                await session.execute(update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=now))
        except DBAPIError as error:
            if not cannot_write(error):  # That nothing can be noted keeps nobody from reading.
                raise


async def end_key(session: AsyncSession, key_id: UUID, *, of: UUID, by: Principal) -> None:
    """Deletes a key of that user, in the caller's transaction. Raises `NotFound`, for another's key too."""
    key = _of(of, await session.get(ApiKey, key_id, with_for_update=True))
    await session.delete(key)
    await _record(session, "auth.delete_api_key", key, by)


def _of(user_id: UUID, key: ApiKey | None) -> ApiKey:
    if key is None or key.user_id != user_id:
        raise NotFound("API key not found")
    return key


def _refused() -> Unauthenticated:
    return Unauthenticated("The API key is not valid or has expired: make a new one")


async def _refuse_too_many(session: AsyncSession, user_id: UUID) -> None:
    await session.get(User, user_id, with_for_update=True)  # Two requests at once count one after the other.
    count = await session.scalar(select(func.count()).where(ApiKey.user_id == user_id)) or 0
    if count >= MOST_KEYS:
        raise Conflict(f"You have {MOST_KEYS} API keys: delete one first")


async def _record(session: AsyncSession, action: str, key: ApiKey, principal: Principal) -> None:
    details = {
        "user_id": str(key.user_id),
        "name": key.name,
        "permissions": key.permissions,
        "expires_at": to_wire(key.expires_at),
    }
    await audit.record(
        session, action=action, object_type="api_key", object_id=key.id, principal=principal, details=details
    )


def _details(key: ApiKey) -> ApiKeyDetails:
    return ApiKeyDetails(
        id=key.id,
        name=key.name,
        permissions=known_permissions(key.permissions),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
    )
