"""`/integrations/oauth`: signing in at a service with a browser, so that an integration gets access."""

from typing import Annotated

from fastapi import Depends, Path, Query
from fastapi.responses import HTMLResponse

from integrations_api.access.dependencies import PUBLIC, require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate, Rates
from integrations_api.access.throttle import network_of_request
from integrations_api.api.components import component
from integrations_api.api.ids import as_id
from integrations_api.api.openapi import errors
from integrations_api.api.routes import Router
from integrations_api.errors import TooManyRequests
from integrations_api.oauth.page import POLICY, page
from integrations_api.oauth.schemas import AuthorizeAnswer
from integrations_api.oauth.service import AuthorizationResponse, NotConnected, OAuthService

router = Router(prefix="/integrations/oauth", tags=["integrations"])

Connecting = Annotated[OAuthService, Depends(component(OAuthService))]
Editor = Annotated[Principal, Depends(require(Permission.INTEGRATION_EDIT, Rate.CONNECT))]

_NOT_FOUND = "Integration not found"
_NOBODY = "Nobody has to sign in for this integration: it gets its tokens by the grant client_credentials"
_PAGE = {"content": {"text/html": {"schema": {"type": "string"}, "example": page(title="Connected", text="…")}}}


@router.post(
    "/{integration_id}/authorize",
    summary="Begin to sign in at a service",
    responses=errors(401, 403, 404, 422, 429, m404=_NOT_FOUND, m422=_NOBODY),
)
async def authorize(
    integration_id: Annotated[
        str, Path(description="The integration's UUID.", examples=["550e8400-e29b-41d4-a716-446655440000"])
    ],
    principal: Editor,
    connecting: Connecting,
) -> AuthorizeAnswer:
    """Gives the address to open in a browser, good once and for ten minutes.

    For integrations that sign in by oauth2 with the grant authorization_code; `needs_connection` of an integration
    says why this is wanted. The service sends the browser back to `redirect_uri`, which shows whether it worked.
    """
    begun = await connecting.begin(as_id(integration_id, _NOT_FOUND), principal=principal)
    return AuthorizeAnswer(authorize_url=begun.url, redirect_uri=begun.redirect_uri, expires_at=begun.expires_at)


@router.get(
    "/callback",
    summary="Where a service sends the browser back to",
    dependencies=[PUBLIC],
    response_class=HTMLResponse,
    responses={
        200: {"description": "The integration is connected; a page that says so.", **_PAGE},
        400: {"description": "It is not; a page that says why, and what to do.", **_PAGE},
        429: {"description": "Too many of these from one address; a page that says when to try again.", **_PAGE},
        **errors(422),
    },
)
async def callback(
    connecting: Connecting,
    rates: Annotated[Rates, Depends(component(Rates))],
    state: Annotated[str, Query(description="What the address to open held: the credential of this request.")] = "",
    code: Annotated[str | None, Query(description="Of the service: exchanged for tokens.")] = None,
    error: Annotated[str | None, Query(description="Of the service: why there is no code.")] = None,
    iss: Annotated[str | None, Query(description="Of the service: who it is (RFC 9207).")] = None,
) -> HTMLResponse:
    """For browsers only. `state` is good once, for ten minutes, for the integration it was made for, and as long as
    the user who asked for it may edit integrations. Tokens are stored sealed, and shown to nobody."""
    try:
        await rates.draw(Rate.CALLBACK, network_of_request() or "unknown")
        name = await connecting.complete(AuthorizationResponse(state=state, code=code, error=error, issuer=iss))
    except NotConnected as failure:
        return _page(400, "Not connected", f"{failure.message}. {failure.remedy}")
    except TooManyRequests as refused:
        response = _page(429, "Not connected", f"{refused.message}, then reload this page.")
        response.headers["Retry-After"] = str(refused.retry_after)
        return response
    return _page(200, "Connected", f"{name} is connected. You can close this page.")


def _page(status: int, title: str, text: str) -> HTMLResponse:
    return HTMLResponse(page(title=title, text=text), status, headers={"Content-Security-Policy": POLICY})
