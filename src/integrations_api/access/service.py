"""Users, sign-in, and who a token stands for."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access import repository
from integrations_api.access.api_keys import ApiKeys
from integrations_api.access.models import User
from integrations_api.access.one_time import KEY_PREFIX
from integrations_api.access.passwords import Passwords
from integrations_api.access.permissions import Permission, known_permissions, parse_permissions
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate, Rates
from integrations_api.access.throttle import SignInThrottle
from integrations_api.access.tokens import IssuedToken, Tokens
from integrations_api.audit import service as audit
from integrations_api.clock import Clock
from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions
from integrations_api.errors import (
    Conflict,
    FieldProblem,
    InvalidInput,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
)
from integrations_api.logs import get_logger

log = get_logger(__name__)

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")


class UserDetails(Struct, frozen=True):
    """A user as others may see him."""

    id: UUID
    email: str
    permissions: frozenset[Permission]
    is_invited: bool
    """He has not set a password yet."""
    disabled_at: datetime | None
    created_at: datetime

    @property
    def state(self) -> Literal["active", "invited", "disabled"]:
        """The three states a user can be in."""
        if self.disabled_at is not None:
            return "disabled"
        return "invited" if self.is_invited else "active"


class AccessService:
    """Each method is a transaction of its own; none is open while a password is hashed."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        tokens: Tokens,
        keys: ApiKeys,
        throttle: SignInThrottle,
        rates: Rates,
        passwords: Passwords,
        token_lifetime: timedelta,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._tokens = tokens
        self._keys = keys
        self._throttle = throttle
        self._rates = rates
        self._passwords = passwords
        self._token_lifetime = token_lifetime
        self._clock = clock

    async def sign_in(self, email: str, password: str) -> IssuedToken:
        """A token for the right password.

        Raises `Unauthenticated`, alike for every reason, in text and in work, and `TooManyRequests` while failures
        before this attempt make it wait.
        """
        email = normal_email(email)
        charge = await self._throttle.charge(email)
        async with self._sessions() as session:
            user = await repository.find_by_email(session, email)
        fits = await self._passwords.verify(password, user.password_hash if user else None)
        if user is None or not fits or user.disabled_at is not None:
            await self._record_refusal(user, wait=charge.wait)
            raise Unauthenticated("Wrong e-mail or password")
        await self._throttle.forgive(charge, user.id)
        await self._renew_hash(user, password)
        async with self._sessions.begin() as session:
            await _record_sign_in(session, "auth.sign_in", user)
        return self.token_for(user_id=user.id, generation=user.token_generation)

    async def _record_refusal(self, user: User | None, *, wait: timedelta) -> None:
        log.info("access.sign_in_refused")
        async with self._sessions.begin() as session:
            # An e-mail nobody has is not written down: people type their password there.
            await _record_sign_in(
                session, "auth.sign_in_refused", user, next_attempt_in_seconds=int(wait.total_seconds())
            )

    async def _renew_hash(self, user: User, password: str) -> None:
        """Stores the password at today's cost, unless it was changed in the meantime."""
        stored = user.password_hash or ""
        renewed = await self._passwords.renewed(password, stored)
        if renewed is None:
            return
        async with self._sessions.begin() as session:
            same = (User.id == user.id) & (User.password_hash == stored)
            await session.execute(update(User).where(same).values(password_hash=renewed))

    def token_for(self, *, user_id: UUID, generation: int) -> IssuedToken:
        """A token with the usual life, for somebody who has just proved who he is."""
        return self._tokens.issue(user_id=user_id, generation=generation, lifetime=self._token_lifetime)

    async def authenticate(self, token: str) -> Principal:
        """Who the token or API key stands for, from the user's row as it is now. Raises `Unauthenticated`."""
        if token.startswith(KEY_PREFIX):
            return await self._keys.recognise(token)
        claims = self._tokens.read(token)
        principal = await self.recognise(
            claims.user_id, generation=claims.generation, credential=f"token:{claims.token_id}"
        )
        return replace(principal, expires_at=claims.expires_at)

    async def draw(self, rate: Rate, principal: Principal) -> None:
        """One request of the caller from his allowance. Raises `TooManyRequests`."""
        await self._rates.draw(rate, principal.user_id)

    async def note_denial(self, denied: PermissionDenied) -> None:
        """Writes down whom a request was denied to, and for want of what; of a flood, the beginning."""
        try:
            await self._rates.draw(Rate.DENIAL, denied.by.user_id)
        except TooManyRequests:
            log.warning("access.denial_not_noted", user_id=str(denied.by.user_id), permission=denied.permission)
            return
        async with self._sessions.begin() as session:
            await audit.record(
                session,
                action="access.denied",
                object_type="permission",
                object_id=denied.permission,
                principal=denied.by,
            )

    async def recognise(self, user_id: UUID, *, generation: int, credential: str) -> Principal:
        """The user behind a credential that was valid when it was given out. Raises `Unauthenticated`."""
        async with connected(self._sessions) as connection:
            user = await repository.find_caller(connection, user_id)
        if user is None or user.disabled_at is not None or user.token_generation != generation:
            raise Unauthenticated("The credential is not valid or has expired: sign in again")
        permissions = known_permissions(user.permissions)
        return Principal(user_id=user.id, email=user.email, permissions=permissions, credential=credential)

    async def recognise_key(self, key_id: UUID, *, credential: str) -> Principal:
        """The user behind a credential that was got with an API key, for what the key may do now.

        Raises `Unauthenticated`.
        """
        return replace(await self._keys.recognise_id(key_id), credential=credential)

    async def generation_of(self, user_id: UUID) -> int:
        """What a credential given out now must name to stay valid until the user's are ended. Raises `NotFound`."""
        async with self._sessions() as session:
            user = await session.get(User, user_id)
        if user is None:
            raise NotFound("There is no such user")
        return user.token_generation

    async def create_user(
        self, *, email: str, password: str, permissions: Iterable[str], actor: str = audit.COMMAND_LINE
    ) -> UserDetails:
        """A new user. Raises `InvalidInput` for a malformed e-mail, password or permission, `Conflict` if he exists."""
        email = checked_email(email)
        granted = parse_permissions(permissions)
        user = User(
            id=uuid4(),
            email=email,
            password_hash=await self._passwords.hash(password),
            permissions=sorted(granted),
            token_generation=0,
            created_at=self._clock(),
        )
        try:
            async with self._sessions.begin() as session:
                session.add(user)
                await session.flush()
                await _record(session, user, "user.create", actor)
        except IntegrityError:
            raise Conflict(f"There is a user {email} already") from None
        return details_of(user)

    async def list_users(self) -> Sequence[UserDetails]:
        """Everybody, by e-mail."""
        async with self._sessions() as session:
            return [details_of(user) for user in await repository.by_email(session)]

    async def disable_user(self, email: str, *, actor: str = audit.COMMAND_LINE) -> UserDetails:
        """Ends a user's access from the next request on; twice is fine. Raises `NotFound`."""
        async with self._sessions.begin() as session:
            user = await _get(session, email)
            if await shut_out(session, user, at=self._clock()):
                await _record(session, user, "user.disable", actor)
        return details_of(user)

    async def enable_user(self, email: str, *, actor: str = audit.COMMAND_LINE) -> UserDetails:
        """Lets a disabled user sign in again, with the permissions he had; twice is fine. Raises `NotFound`."""
        async with self._sessions.begin() as session:
            user = await _get(session, email)
            if user.disabled_at is not None:
                user.disabled_at = None
                await _record(session, user, "user.enable", actor)
        return details_of(user)

    async def set_permissions(
        self, email: str, permissions: Iterable[str], *, actor: str = audit.COMMAND_LINE
    ) -> UserDetails:
        """Replaces a user's permissions from the next request on. Raises `NotFound`, `InvalidInput`."""
        granted = parse_permissions(permissions)
        async with self._sessions.begin() as session:
            user = await _get(session, email)
            await grant(session, user, granted)
            await _record(session, user, "user.set_permissions", actor)
        return details_of(user)

    async def issue_token(self, email: str, lifetime: timedelta, *, actor: str = audit.COMMAND_LINE) -> IssuedToken:
        """A token without a password, for an operator on the machine. Raises `NotFound`, `Conflict` when disabled."""
        async with self._sessions.begin() as session:
            user = await _get(session, email)
            if user.disabled_at is not None:
                again = "`integrations-api users enable` lets him in again"
                raise Conflict(f"The user {user.email} is disabled: {again}")
            await _record(session, user, "auth.issue_token", actor)
        return self._tokens.issue(user_id=user.id, generation=user.token_generation, lifetime=lifetime)


def normal_email(email: str) -> str:
    """As e-mails are stored and compared."""
    return email.strip().lower()


def checked_email(email: str) -> str:
    """A normal e-mail. Raises `InvalidInput` for what is none."""
    normal = normal_email(email)
    # What is not seen (a zero-width space, a turned direction) would make one user look like another.
    if _EMAIL.fullmatch(normal) is None or not normal.isprintable():
        raise InvalidInput.of([FieldProblem("email", "must be an e-mail address such as ada@example.com")])
    return normal


async def _get(session: AsyncSession, email: str) -> User:
    """The user's row, locked. Raises `NotFound`."""
    user = await session.scalar(select(User).where(User.email == normal_email(email)).with_for_update())
    if user is None:
        raise NotFound(f"There is no user {normal_email(email)}")
    return user


async def shut_out(session: AsyncSession, user: User, *, at: datetime) -> bool:
    """Ends a user's access, with all of his tokens and his link; whether he still had it."""
    if user.disabled_at is not None:
        return False
    user.disabled_at = at
    user.token_generation += 1
    await repository.void_link(session, user.id)
    return True


async def grant(session: AsyncSession, user: User, permissions: frozenset[Permission]) -> None:
    """Replaces what a user may do.

    With more than he had, a link of before is void: who holds it could have become him without that only.
    """
    if not permissions <= known_permissions(user.permissions):
        await repository.void_link(session, user.id)
    user.permissions = sorted(permissions)


async def _record_sign_in(session: AsyncSession, action: str, user: User | None, **details: int) -> None:
    await audit.record(
        session,
        action=action,
        object_type="user",
        object_id=user.id if user else None,
        actor=user.email if user else "unknown",
        actor_id=user.id if user else None,
        details=details,
    )


async def _record(session: AsyncSession, user: User, action: str, actor: str) -> None:
    details = {"email": user.email, "permissions": user.permissions}
    await audit.record(session, action=action, object_type="user", object_id=user.id, actor=actor, details=details)


def details_of(user: User) -> UserDetails:
    """What may be shown of a user's row."""
    return UserDetails(
        id=user.id,
        email=user.email,
        permissions=known_permissions(user.permissions),
        is_invited=user.password_hash is None,
        disabled_at=user.disabled_at,
        created_at=user.created_at,
    )
