"""The application: routers, error handlers, middleware; nothing else."""

from collections.abc import Sequence
from functools import partial

from starlette.middleware.cors import CORSMiddleware

from integrations_api.access import router as access
from integrations_api.access.service import AccessService
from integrations_api.api import docs, health
from integrations_api.api.application import Application
from integrations_api.api.components import install_components
from integrations_api.api.context import RequestContextMiddleware
from integrations_api.api.error_handlers import install_error_handlers
from integrations_api.api.limits import LimitsMiddleware
from integrations_api.api.openapi import install_openapi
from integrations_api.components import Components
from integrations_api.integrations import router as integrations
from integrations_api.knowledge import router as knowledge
from integrations_api.oauth import router as oauth
from integrations_api.operations import router as operations
from integrations_api.search import router as search
from integrations_api.settings import Settings
from integrations_api.sync import router as sync
from integrations_api.sync.docs import event_schema
from integrations_api.version import __version__

ROUTERS = (
    access.router,
    access.users,
    access.audit,
    integrations.router,
    oauth.router,
    sync.router,
    sync.decisions,
    knowledge.router,
    search.router,
    health.router,
    operations.router,
    docs.router,
)

DESCRIPTION = """
Connects external service-management systems, pulls their incidents, and keeps them in a versioned knowledge base.

Sign in with "Authorize" (e-mail as username) or send `Authorization: Bearer <token>`. Every JSON answer is an envelope:
`{"success": true, …}` or `{"success": false, "message": "…"}` with a true HTTP status. Lists that take a `cursor` give
`next_cursor`, null at the end. Times are UTC.
"""
TAGS = [
    {"name": "access", "description": "Signing in, users and permissions."},
    {"name": "integrations", "description": "Configured connections to external systems."},
    {"name": "sync", "description": "Pulling incidents, as a stream of events; runs and their verdicts."},
    {"name": "knowledge", "description": "The versioned knowledge base: read, compare, look back."},
    {"name": "health", "description": "For load balancers and supervisors."},
]


def create_app(components: Components, settings: Settings) -> Application:
    """The ASGI application over parts that are running already; it owns none of them."""
    app = Application(
        title="Integrations API",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Not by include_router, which would make routers within routers: each route knows its prefix already.
        routes=[route for router in ROUTERS for route in router.routes],
        # FastAPI's own exporters would be a way out past the egress guard.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    install_components(app, components)
    install_error_handlers(app, note_denial=lambda denied: components[AccessService].note_denial(denied))
    install_openapi(app, event_schema=event_schema)
    app.add_middleware(LimitsMiddleware, max_body_bytes=settings.max_body_bytes)
    shared = _shared_with(settings.cors_origins) if settings.cors_origins else None
    if shared is not None:
        app.add_middleware(shared)
    # Added last: the outermost, so that it sees every answer. Its own answers are shared as all others are.
    app.add_middleware(RequestContextMiddleware, shared=shared)
    return app


def _shared_with(origins: Sequence[str]) -> "partial[CORSMiddleware]":
    """What lets pages of these origins read answers."""
    return partial(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "If-Match", "Last-Event-ID", "X-Request-ID"],
        expose_headers=["Content-Disposition", "ETag", "Location", "Retry-After", "X-Request-ID"],
        allow_credentials=False,  # Tokens travel in a header: no cookie is ever wanted.
    )
