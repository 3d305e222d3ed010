"""A process's metrics on a port of their own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Literal

from integrations_api.cli.sockets import base_url, listen
from integrations_api.components import Components
from integrations_api.logs import get_logger
from integrations_api.operations.exposition import Exposition
from integrations_api.settings import Settings

log = get_logger(__name__)


@asynccontextmanager
async def giving_metrics(
    components: Components, setting: Literal["METRICS_PORT", "WORKER_METRICS_PORT"]
) -> AsyncIterator[None]:
    """Gives this process's metrics on a port of their own meanwhile; without a port, nothing is opened or imported.

    Raises `PortInUse` and `ConfigurationError` before anything is begun.
    """
    settings = components[Settings]
    port = settings.metrics_port if setting == "METRICS_PORT" else settings.worker_metrics_port
    if port is None:
        yield
        return
    from integrations_api.cli.quiet_server import QuietServer, config_for
    from integrations_api.operations.port import metrics_app

    app = metrics_app(components[Exposition], settings)
    with closing(listen(settings.metrics_host, port, chosen_by=setting)) as listener:
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
