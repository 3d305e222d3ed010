"""Managing other users over HTTP: nobody gives, or takes over, what he does not have himself."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access import repository
from integrations_api.access.api_keys import end_key
from integrations_api.access.models import User, UserLink
from integrations_api.access.one_time import digest_of, new_invitation
from integrations_api.access.passwords import Passwords
from integrations_api.access.permissions import Permission, known_permissions, parse_permissions
from integrations_api.access.principal import Principal
from integrations_api.access.service import UserDetails, checked_email, details_of, grant, shut_out
from integrations_api.access.throttle import SignInThrottle
from integrations_api.api.pagination import cut, decode_cursor, encode_cursor
from integrations_api.audit import service as audit
from integrations_api.clock import Clock
from integrations_api.db.engine import Sessions
from integrations_api.errors import Conflict, NotFound, PermissionDenied

LINK_LIFETIME = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link, shown once: whoever has it sets the user's password."""

    token: str = field(repr=False)
    expires_at: datetime


class UserAdministration:
    """Each method is one transaction, written into the audit with it."""

    def __init__(self, *, sessions: Sessions, passwords: Passwords, throttle: SignInThrottle, clock: Clock) -> None:
        self._sessions = sessions
        self._passwords = passwords
        self._throttle = throttle
        self._clock = clock

    async def page(self, *, limit: int, cursor: str | None) -> tuple[Sequence[UserDetails], str | None]:
        """Users by e-mail, and the cursor of the next page. Raises `InvalidInput` for a cursor that is none of ours."""
        after = None if cursor is None else decode_cursor(cursor, str)[0]
        async with self._sessions() as session:
            users = await repository.by_email(session, limit=limit + 1, after=after)
        page, last = cut(users, limit)
        return [details_of(user) for user in page], encode_cursor(last.email) if last else None

    async def get(self, user_id: UUID) -> UserDetails:
        """One user. Raises `NotFound`."""
        async with self._sessions() as session:
            user = await session.get(User, user_id)
        return details_of(user or _nobody())

    async def invite(self, *, email: str, permissions: Iterable[str], by: Principal) -> tuple[UserDetails, Link]:
        """A new user without a password, and the link with which he sets one.

        Raises `InvalidInput`, `PermissionDenied` for a permission the inviter lacks, `Conflict` if the e-mail is taken.
        """
        email, granted = checked_email(email), parse_permissions(permissions)
        _refuse_beyond(by, granted)
        now = self._clock()
        user = User(id=uuid4(), email=email, permissions=sorted(granted), token_generation=0, created_at=now)
        try:
            async with self._sessions.begin() as session:
                session.add(user)
                await session.flush()
                link = await self._new_link(session, user, "invite")
                await _record(session, "user.invite", user, by, permissions=sorted(granted))
        except IntegrityError:
            raise Conflict(f"There is a user {email} already") from None
        return details_of(user), link

    async def reset(self, user_id: UUID, *, by: Principal) -> tuple[UserDetails, Link]:
        """A link with which the user sets a new password; a link given before is void.

        The old password works until then: to shut somebody out at once, disable him. Raises `NotFound`,
        `PermissionDenied`, and `Conflict` for a disabled user.
        """
        async with self._sessions.begin() as session:
            user = await self._managed(session, user_id, by)
            if user.disabled_at is not None:
                raise Conflict(f"The user {user.email} is disabled: enable him first")
            link = await self._new_link(session, user, "reset" if user.password_hash else "invite")
            await _record(session, "user.reset", user, by)
        return details_of(user), link

    async def disable(self, user_id: UUID, *, by: Principal) -> UserDetails:
        """Ends a user's access from the next request on, with every credential; twice is fine.

        Raises `NotFound`, `PermissionDenied`, and `Conflict` for the last who may manage users.
        """
        async with self._sessions.begin() as session:
            user = await self._managed(session, user_id, by)
            if await shut_out(session, user, at=self._clock()):
                await _refuse_the_last(session)
                await _record(session, "user.disable", user, by)
        return details_of(user)

    async def enable(self, user_id: UUID, *, by: Principal) -> UserDetails:
        """Lets a disabled user sign in again, with the permissions he had. Raises `NotFound`, `PermissionDenied`."""
        async with self._sessions.begin() as session:
            user = await self._managed(session, user_id, by)
            if user.disabled_at is not None:
                user.disabled_at = None
                await _record(session, "user.enable", user, by)
        return details_of(user)

    async def set_permissions(self, user_id: UUID, permissions: Iterable[str], *, by: Principal) -> UserDetails:
        """Replaces a user's permissions from the next request on.

        Raises `NotFound`, `InvalidInput`, `PermissionDenied`, and `Conflict` for the last who may manage users.
        """
        granted = parse_permissions(permissions)
        _refuse_beyond(by, granted)
        async with self._sessions.begin() as session:
            user = await self._managed(session, user_id, by)
            before = user.permissions
            await grant(session, user, granted)
            await _refuse_the_last(session)
            await _record(session, "user.set_permissions", user, by, before=before, permissions=user.permissions)
        return details_of(user)

    async def delete_key(self, user_id: UUID, key_id: UUID, *, by: Principal) -> None:
        """Ends an API key of the user from the next request on. Raises `NotFound`, `PermissionDenied`."""
        async with self._sessions.begin() as session:
            await self._managed(session, user_id, by)
            await end_key(session, key_id, of=user_id, by=by)

    async def accept(self, token: str, password: str) -> UserDetails:
        """Sets the password of a link's user, once; his older tokens end. Raises `NotFound`, `InvalidInput`."""
        digest = digest_of(token)
        async with self._sessions() as session:
            self._open(await repository.find_link(session, digest))  # Nobody makes us hash without a link.
        hashed = await self._passwords.hash(password)
        async with self._sessions.begin() as session:
            link, user = self._open(await repository.find_link(session, digest, lock=True))
            user.password_hash = hashed
            user.token_generation += 1
            await session.delete(link)
            await audit.record(
                session,
                action="auth.accept_link",
                object_type="user",
                object_id=user.id,
                actor=user.email,
                actor_id=user.id,
                details={"purpose": link.purpose},
            )
        await self._throttle.know_address(user.id)
        return details_of(user)

    def _open(self, found: tuple[UserLink, User] | None) -> tuple[UserLink, User]:
        if found is None or found[0].expires_at <= self._clock() or found[1].disabled_at is not None:
            raise NotFound("This link is not valid, was used already, or has expired: ask for a new one")
        return found

    async def _managed(self, session: AsyncSession, user_id: UUID, by: Principal) -> User:
        """The user's row, locked, if the caller may do everything that user may."""
        await repository.one_change_at_a_time(session)
        user = await repository.find_locked(session, user_id) or _nobody()
        _refuse_beyond(by, known_permissions(user.permissions))
        return user

    async def _new_link(self, session: AsyncSession, user: User, purpose: Literal["invite", "reset"]) -> Link:
        await repository.void_link(session, user.id)
        now, token = self._clock(), new_invitation()
        link = UserLink(
            user_id=user.id, hash=digest_of(token), purpose=purpose, created_at=now, expires_at=now + LINK_LIFETIME
        )
        session.add(link)
        await session.flush()
        return Link(token=token, expires_at=link.expires_at)


def _nobody() -> NoReturn:
    raise NotFound("User not found")


def _refuse_beyond(by: Principal, permissions: frozenset[Permission]) -> None:
    beyond = sorted(permissions - by.permissions)
    if beyond:
        raise PermissionDenied(beyond[0], by=by)


async def _refuse_the_last(session: AsyncSession) -> None:
    await session.flush()
    if await repository.count_managers(session) == 0:
        raise Conflict("Nobody could manage users any more: give somebody else user.manage first")


async def _record(session: AsyncSession, action: str, user: User, by: Principal, **details: Any) -> None:
    await audit.record(
        session,
        action=action,
        object_type="user",
        object_id=user.id,
        principal=by,
        details={"email": user.email, **details},
    )
