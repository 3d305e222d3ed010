"""What a signed-in person does about his own credentials."""

from integrations_api.access import repository
from integrations_api.access.models import User
from integrations_api.access.passwords import Passwords
from integrations_api.access.principal import Principal
from integrations_api.access.service import AccessService
from integrations_api.access.throttle import SignInThrottle
from integrations_api.access.tokens import IssuedToken
from integrations_api.audit import service as audit
from integrations_api.db.engine import Sessions
from integrations_api.errors import FieldProblem, InvalidInput, Unauthenticated


class Account:
    """Signing out, and another password; both end every bearer token there is of the user."""

    def __init__(
        self, *, sessions: Sessions, access: AccessService, passwords: Passwords, throttle: SignInThrottle
    ) -> None:
        self._sessions = sessions
        self._access = access
        self._passwords = passwords
        self._throttle = throttle

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
        """Sets a new password; older tokens end, and the caller goes on with the one returned.

        Raises `InvalidInput` when the current password is wrong, or the new one is not fit to be one, and
        `TooManyRequests`: with a stolen token nobody guesses the password faster than without.
        """
        await self._prove(principal, current)
        hashed = await self._passwords.hash(new)
        async with self._sessions.begin() as session:
            user = await repository.find_locked(session, principal.user_id)
            if user is None:
                raise Unauthenticated("The credential is not valid or has expired: sign in again")
            user.password_hash = hashed
            user.token_generation += 1
            await audit.record(
                session, action="auth.change_password", object_type="user", object_id=user.id, principal=principal
            )
        return self._access.token_for(user_id=user.id, generation=user.token_generation)

    async def _prove(self, principal: Principal, current: str) -> None:
        charge = await self._throttle.charge(principal.email)
        async with self._sessions() as session:
            user = await session.get(User, principal.user_id)
        if not await self._passwords.verify(current, user.password_hash if user else None):
            raise InvalidInput.of([FieldProblem("current_password", "is wrong")])
        await self._throttle.forgive(charge, principal.user_id)
