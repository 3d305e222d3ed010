"""Who may watch a run: a signed-in user, or the holder of a ticket for it."""

from typing import Annotated

from fastapi import Depends, Path, Query

from integrations_api.access.dependencies import bearer_scheme
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.service import AccessService
from integrations_api.api.components import component
from integrations_api.api.ids import find_id
from integrations_api.api.routes import AccessRule
from integrations_api.errors import Unauthenticated
from integrations_api.sync.tickets import Tickets

Ticket = Annotated[
    str | None,
    # Told, not checked: whoever brings no good ticket is to hear that alone, and the head of a request is bounded.
    Query(json_schema_extra={"maxLength": 200}, description="From `POST /integrations/runs/{run_id}/ticket`."),
]


class WatcherOfRun(AccessRule):
    """Gives the principal behind the bearer token, or behind `?ticket=`, as his permissions are now."""

    permission = Permission.INTEGRATION_VIEW

    async def __call__(
        self,
        run_id: Annotated[str, Path(description="The run.")],
        access: Annotated[AccessService, Depends(component(AccessService))],
        tickets: Annotated[Tickets, Depends(component(Tickets))],
        token: Annotated[str | None, Depends(bearer_scheme)],
        ticket: Ticket = None,
    ) -> Principal:
        """Raises `Unauthenticated` or `PermissionDenied`."""
        if token:
            principal = await access.authenticate(token)
        elif ticket:
            principal = await tickets.redeem(ticket, run_id=find_id(run_id))
        else:
            raise Unauthenticated("Sign in first: send Authorization: Bearer <token>, or a ticket for this run")
        principal.demand(Permission.INTEGRATION_VIEW)
        return principal


MayWatchRun = Annotated[Principal, Depends(WatcherOfRun())]
