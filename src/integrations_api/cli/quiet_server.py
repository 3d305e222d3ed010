"""uvicorn as every process here runs it: signals, log and listening socket are ours."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

import uvicorn
from starlette.types import ASGIApp

from integrations_api.api.components import Components
from integrations_api.cli.sockets import base_url, listen
from integrations_api.logs import get_logger
from integrations_api.operations.exposition import Exposition
from integrations_api.operations.port import metrics_app
from integrations_api.settings import Settings

log = get_logger(__name__)

GRACE = 5
"""Seconds for answers that are being written when the end is asked for."""


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers: it would send itself the signal again in the end, before PostgreSQL stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def config_for(app: ASGIApp, settings: Settings, *, most_at_once: int | None = None) -> uvicorn.Config:
    """How uvicorn serves an application of ours."""
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=GRACE,
        limit_concurrency=most_at_once,
    )


@asynccontextmanager
async def giving_metrics(components: Components, port: int | None) -> AsyncIterator[None]:
    """Gives this process's metrics on a port of their own meanwhile; without a port, nothing is opened.

    Raises `PortInUse` and `ConfigurationError` before anything is begun.
    """
    if port is None:
        yield
        return
    settings = components[Settings]
    app = metrics_app(components[Exposition], settings)
    with closing(listen(settings.metrics_host, port)) as listener:
        server = QuietServer(config_for(app, settings, most_at_once=20))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        _say_where(listener)
        try:
            yield
        finally:
            server.should_exit = True
            await running


def _say_where(listener: socket.socket) -> None:
    log.info("metrics.started", url=f"{base_url(*listener.getsockname()[:2])}/metrics")
