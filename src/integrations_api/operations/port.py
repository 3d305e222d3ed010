"""The metrics on a port of their own, for processes without an API and for networks that keep the two apart."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from integrations_api.operations.exposition import CONTENT_TYPE, Exposition
from integrations_api.operations.metrics_token import REFUSED, is_token
from integrations_api.settings import Settings


def metrics_app(exposition: Exposition, settings: Settings) -> Starlette:
    """Answers `GET /metrics` and nothing else; asks for METRICS_TOKEN where one is set."""

    async def metrics(request: Request) -> Response:
        if not _may_read(request, settings):
            return PlainTextResponse(REFUSED, status_code=401, headers={"WWW-Authenticate": "Bearer"})
        return Response(await exposition.render(), media_type=CONTENT_TYPE)

    return Starlette(routes=[Route("/metrics", metrics)])


def _may_read(request: Request, settings: Settings) -> bool:
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    return settings.metrics_token is None or (scheme.lower() == "bearer" and is_token(sent.strip(), settings))
