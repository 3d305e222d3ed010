"""What a signed-in person does about his own credentials."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from integrations_api.access import repository
from integrations_api.access.models import User
from integrations_api.access.passwords import Passwords
from integrations_api.access.principal import Principal
from integrations_api.access.service import AccessService
from integrations_api.access.throttle import SignInThrottle
from integrations_api.access.tokens import IssuedToken
from integrations_api.audit import service as audit
from integrations_api.audit.reading import AuditFilter, AuditReader
from integrations_api.db.engine import Sessions
from integrations_api.errors import FieldProblem, InvalidInput, Unauthenticated

SIGN_INS = (
    "auth.sign_in",
    "auth.sign_in_refused",
    "auth.issue_token",
    "auth.accept_link",
    "auth.change_password",
    "auth.change_password_refused",
    "auth.sign_out",
)
"""What the audit writes down of how somebody came in and went."""


class Account:
    """Signing out, and another password; both end every bearer token there is of the user."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        access: AccessService,
        passwords: Passwords,
        throttle: SignInThrottle,
        audit_reader: AuditReader,
    ) -> None:
        self._sessions = sessions
        self._access = access
        self._passwords = passwords
        self._throttle = throttle
        self._audit = audit_reader

    async def sign_ins(
        self, principal: Principal, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[dict[str, Any]], str | None]:
        """How he, or somebody in his name, came in or was refused, newest first; and the cursor of the next page.

        Raises `InvalidInput` for a cursor that is none of ours.
        """
        own = AuditFilter(object_type="user", object_id=str(principal.user_id), actions=SIGN_INS)
        return await self._audit.page(own, limit=limit, cursor=cursor)

    async def sign_out(self, principal: Principal) -> None:
        """Ends this token and all older ones, on whatever device."""
        async with self._sessions.begin() as session:
            user = await repository.find_locked(session, principal.user_id)
            if user is None:
                raise Unauthenticated("The credential is not valid or has expired: sign in again")
            user.token_generation += 1
            await audit.record(
                session, action="auth.sign_out", object_type="user", object_id=user.id, principal=principal
            )

    async def change_password(self, principal: Principal, *, current: str, new: str) -> IssuedToken:
        """Sets a new password; older tokens end, a link with them, and the caller goes on with the token returned.

        Raises `InvalidInput` when the current password is wrong, or the new one is not fit to be one,
        `Unauthenticated` when his tokens have ended meanwhile, and `TooManyRequests`: with a stolen token nobody
        guesses the password faster than without.
        """
        generation = await self._prove(principal, current)
        hashed = await self._passwords.hash(new, field="new_password")
        async with self._sessions.begin() as session:
            user = await repository.find_locked(session, principal.user_id)
            # Hashing takes its time: he may have been disabled meanwhile, or somebody was faster.
            if user is None or user.token_generation != generation:
                raise Unauthenticated("The credential is not valid or has expired: sign in again")
            user.password_hash = hashed
            user.token_generation += 1
            await repository.void_link(session, user.id)
            await audit.record(
                session, action="auth.change_password", object_type="user", object_id=user.id, principal=principal
            )
        return self._access.token_for(user_id=user.id, generation=user.token_generation)

    async def _prove(self, principal: Principal, current: str) -> int:
        """The generation of tokens that the password was right in."""
        charge = await self._throttle.charge(principal.email)
        async with self._sessions() as session:
            user = await session.get(User, principal.user_id)
        if not await self._passwords.verify(current, user.password_hash if user else None) or user is None:
            await self._record_refusal(principal, wait=charge.wait)
            raise InvalidInput.of([FieldProblem("current_password", "is wrong")])
        await self._throttle.forgive(charge, principal.user_id)
        return user.token_generation

    async def _record_refusal(self, principal: Principal, *, wait: timedelta) -> None:
        """Whoever has stolen a token may be guessing: its owner is to see that among his sign-ins."""
        async with self._sessions.begin() as session:
            await audit.record(
                session,
                action="auth.change_password_refused",
                object_type="user",
                object_id=principal.user_id,
                principal=principal,
                details={"next_attempt_in_seconds": int(wait.total_seconds())},
            )
