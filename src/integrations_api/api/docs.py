"""The description of the API for programs (`/openapi.json`) and people (`/docs`)."""

from html import escape
from typing import Any

from fastapi import Request
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse

from integrations_api.api.routes import PUBLIC, Router

router = Router(dependencies=[PUBLIC], include_in_schema=False)

_REDIRECT = "/docs/oauth2-redirect"
_CDN, _ICON = "https://cdn.jsdelivr.net", "https://fastapi.tiangolo.com"
# Swagger UI comes from FastAPI's default addresses and starts itself from an inline script.
_POLICY = (
    f"default-src 'self'; script-src 'self' 'unsafe-inline' {_CDN}; style-src 'self' 'unsafe-inline' {_CDN}; "
    f"img-src 'self' data: {_ICON}; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_EMPTY = b'<div id="swagger-ui">'
_INSTEAD = (
    f"<p>If this page stays like this, your browser does not reach {_CDN}: "
    '<a href="{}/openapi.json">openapi.json</a> tells the same.</p>'
)
"""Replaced by Swagger UI, where that comes."""


@router.get("/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """The OpenAPI description."""
    schema: dict[str, Any] = request.app.openapi()
    root = request.scope.get("root_path", "").rstrip("/")
    return {**schema, "servers": [{"url": root}]} if root else schema


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Swagger UI; its "Authorize" signs in at `/auth/token`."""
    root = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json", title=request.app.title, oauth2_redirect_url=f"{root}{_REDIRECT}"
    )
    told = bytes(page.body).replace(_EMPTY, _EMPTY + _INSTEAD.format(escape(root)).encode())
    return HTMLResponse(told, headers={"Content-Security-Policy": _POLICY})


@router.get(_REDIRECT)
async def oauth2_redirect() -> HTMLResponse:
    """Where Swagger UI comes back to after an OAuth2 redirect."""
    page = get_swagger_ui_oauth2_redirect_html()
    page.headers["Content-Security-Policy"] = _POLICY
    return page
