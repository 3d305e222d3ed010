"""How a route names its permission: by asking for a principal that has it."""

from functools import cache
from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate
from integrations_api.access.service import AccessService
from integrations_api.api.components import component
from integrations_api.api.routes import PUBLIC, AccessRule
from integrations_api.errors import PersonRequired, Unauthenticated

__all__ = ["PUBLIC", "Person", "Requirement", "SignedIn", "require"]

# Relative, so that "Authorize" works behind a proxy that serves us under a path.
bearer_scheme = OAuth2PasswordBearer(
    tokenUrl="auth/token",
    scheme_name="bearer",
    description="A token from `POST /auth/token` or from `integrations-api token`, or an API key (`iak_…`).",
    auto_error=False,
)


class Requirement(AccessRule):
    """A dependency that gives the principal, or answers 401 or 403."""

    def __init__(self, permission: Permission | None, rate: Rate | None = None) -> None:
        self.permission: Permission | None = permission
        self.rate = rate

    async def __call__(
        self,
        token: Annotated[str | None, Depends(bearer_scheme)],
        access: Annotated[AccessService, Depends(component(AccessService))],
    ) -> Principal:
        """Raises `Unauthenticated`, `PermissionDenied`, and `TooManyRequests` beyond an allowance."""
        if not token:
            raise Unauthenticated("Sign in first: send Authorization: Bearer <token>")
        principal = await access.authenticate(token)
        if self.permission is not None:
            principal.demand(self.permission)
        if self.rate is not None:
            await access.draw(self.rate, principal)
        return principal


@cache
def require(permission: Permission, rate: Rate | None = None) -> Requirement:
    """Names a route's permission, once: `viewer: Annotated[Principal, Depends(require(Permission.KNOWLEDGE_VIEW))]`.

    With a `rate` each request also draws from the user's allowance of that name.
    """
    return Requirement(permission, rate)


class _Person(Requirement):
    """Somebody who signed in: an API key must not make further keys, nor change a password."""

    def __init__(self, rate: Rate | None = None) -> None:
        super().__init__(None, rate)

    async def __call__(
        self,
        token: Annotated[str | None, Depends(bearer_scheme)],
        access: Annotated[AccessService, Depends(component(AccessService))],
    ) -> Principal:
        """Raises `Unauthenticated`, or `PersonRequired` for an API key."""
        principal = await super().__call__(token, access)
        if not principal.is_person:
            raise PersonRequired(by=principal)
        return principal


Person = Annotated[Principal, Depends(_Person())]
"""For routes about one's own credentials: `me: Person`."""

KeyMaker = Annotated[Principal, Depends(_Person(Rate.KEY))]
"""For the one that makes such: each is written into the audit, and so is its end."""

SignedIn = Annotated[Principal, Depends(Requirement(None))]
"""For the few routes that any signed-in user may call: `me: SignedIn`."""
