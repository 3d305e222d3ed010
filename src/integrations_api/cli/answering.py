"""The API in `serve`'s process: assemble the parts, look whether all is well, answer until asked to end."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.answering_wiring import listening
from integrations_api.cli import loops
from integrations_api.cli.child import Child
from integrations_api.cli.metrics_port import giving_metrics
from integrations_api.cli.quiet_server import QuietServer, config_for
from integrations_api.cli.serving import Opened
from integrations_api.cli.setup import check_schema
from integrations_api.cli.sockets import base_url
from integrations_api.cli.starting import catch_up, meanwhile
from integrations_api.components import Components
from integrations_api.connectors.registry import CONNECTORS
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.logs import get_logger
from integrations_api.settings import Settings
from integrations_api.sync.stream import RunStreams
from integrations_api.wiring import assemble

if TYPE_CHECKING:
    from integrations_api.api.application import Application

log = get_logger(__name__)

_IMPORTED_LATER = (
    "integrations_api.access.signing",
    "passlib.context",
    "anyio._backends._asyncio",  # By which hashing goes to a thread.
    "integrations_api.queue.adding",
    "croniter",
    *CONNECTORS,
)
"""For the first token, password, sync, schedule and trial."""


async def answer(opened: Opened) -> None:
    """Answers on the listening socket until a signal comes; the children may begin when schema and keys are right."""
    settings, listener = opened.settings, opened.listener
    async with assemble(settings, database_url=opened.url) as components:
        await check_schema(components[AsyncEngine])
        await components[SecretKeeper].require_keys()
        async with giving_metrics(components, "METRICS_PORT"), listening(components):
            for child in opened.beside:
                child.release()
            app = await asyncio.to_thread(_application, components, settings)
            server = QuietServer(config_for(app, settings))
            loops.spare_what_is_there()
            ending = _Ending(server=server, streams=components[RunStreams], children=opened.beside)
            with opened.signals.asking(ending.begin, ending.hurry):
                _say_where(listener, with_worker=opened.with_worker)
                async with meanwhile(_finish(app)):
                    await server.serve(sockets=[listener])
                log.info("serve.ending")


async def _finish(app: "Application") -> None:
    """What the start has left undone, so that few requests are the first to want it."""
    await app.build_routes()
    await catch_up(*_IMPORTED_LATER)


def _application(components: Components, settings: Settings) -> "Application":
    """All routes, imported only now: that is a good part of the start, and the worker goes on meanwhile."""
    from integrations_api.app import create_app

    return create_app(components, settings)


class _Ending:
    """All parts are told at the same time, so that the slowest alone says how long it takes."""

    def __init__(self, *, server: QuietServer, streams: RunStreams, children: Sequence[Child]) -> None:
        self._server = server
        self._streams = streams
        self._children = children
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self._loop.call_soon_threadsafe(self._begin)

    def hurry(self) -> None:
        self._loop.call_soon_threadsafe(self._hurry)

    def _begin(self) -> None:
        self._streams.close()
        for child in self._children:
            child.stop()
        self._server.handle_exit(signal.SIGTERM, None)

    def _hurry(self) -> None:
        self._server.force_exit = True
        for child in self._children:
            child.kill()


def _say_where(listener: socket.socket, *, with_worker: bool) -> None:
    url = base_url(*listener.getsockname()[:2])
    log.info("serve.started", url=url, docs=f"{url}/docs", worker="beside" if with_worker else "none")
