"""Who may read metrics: whoever has the operator's token, and nobody where none is set."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from integrations_api.api.components import component
from integrations_api.api.routes import AccessRule
from integrations_api.errors import NotFound, Unauthenticated
from integrations_api.operations.metrics_token import REFUSED, is_token
from integrations_api.settings import Settings

OFF = "Metrics are off here: set METRICS_TOKEN, or METRICS_PORT for a port of their own"

_scheme = HTTPBearer(scheme_name="metrics", description="The METRICS_TOKEN of the settings.", auto_error=False)


class MetricsToken(AccessRule):
    """A dependency that lets pass who sends METRICS_TOKEN; no user and no permission is involved."""

    words = "Needs METRICS_TOKEN as bearer token; 404 where none is set."

    async def __call__(
        self,
        sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)],
        settings: Annotated[Settings, Depends(component(Settings))],
    ) -> None:
        """Raises `NotFound` where no token is set, `Unauthenticated` for another one."""
        if settings.metrics_token is None:
            raise NotFound(OFF)
        if sent is None or not is_token(sent.credentials, settings):
            raise Unauthenticated(REFUSED)
