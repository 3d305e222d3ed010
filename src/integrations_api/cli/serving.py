"""What `serve` does: take the port, open the database, assemble the parts, answer until asked to end."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp

from integrations_api.api.components import Components
from integrations_api.cli import loops
from integrations_api.cli.child import Child, own_command
from integrations_api.cli.embedding import own_embedder
from integrations_api.cli.quiet_server import QuietServer, config_for, giving_metrics
from integrations_api.cli.setup import check_schema, opened_database, settings_for_process
from integrations_api.cli.signals import Signals, end_with_parent
from integrations_api.cli.sockets import base_url, listen
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.logs import get_logger
from integrations_api.settings import Settings
from integrations_api.sync.stream import RunStreams
from integrations_api.wiring import assemble, listening

log = get_logger(__name__)


def run_service(*, host: str | None, port: int | None, with_worker: bool, with_parent: bool) -> None:
    """Runs until SIGINT or SIGTERM; then everything it started is gone, PostgreSQL last."""
    signals = Signals()
    if with_parent:
        end_with_parent()
    settings = settings_for_process(host=host, port=port)
    with (
        listen(settings.host, settings.port) as listener,
        opened_database(settings) as url,
        own_embedder(settings) as (settings, embedder),
    ):
        worker = _worker(settings) if with_worker else None
        beside = [child for child in (embedder, worker) if child is not None]
        loops.run(_serve(settings, url, listener, signals, beside=beside, with_worker=with_worker))


def _worker(settings: Settings) -> Child:
    """A worker that knows of an embedding service of our own."""
    address = settings.embeddings_url
    environment = {} if address is None else {"EMBEDDINGS_URL": address}
    return Child(own_command("worker", "--with-parent"), environment=environment)


async def _serve(
    settings: Settings,
    url: str,
    listener: socket.socket,
    signals: Signals,
    *,
    beside: Sequence[Child],
    with_worker: bool,
) -> None:
    async with assemble(settings, database_url=url) as components:
        await check_schema(components[AsyncEngine])
        await components[SecretKeeper].require_keys()
        async with giving_metrics(components, settings.metrics_port), listening(components), _running(beside):
            server = QuietServer(config_for(await asyncio.to_thread(_application, components, settings), settings))
            ending = _Ending(server=server, streams=components[RunStreams], children=beside)
            with signals.asking(ending.begin, ending.hurry):
                _say_where(listener, with_worker=with_worker)
                await server.serve(sockets=[listener])
                log.info("serve.ending")
    log.info("serve.ended")


def _application(components: Components, settings: Settings) -> ASGIApp:
    """All routes, imported only now: that is a good part of the start, and the worker starts meanwhile."""
    from integrations_api.app import create_app

    return create_app(components, settings)


@asynccontextmanager
async def _running(children: Sequence[Child]) -> AsyncIterator[None]:
    """Keeps the children running meanwhile; afterwards they are gone."""
    running = [asyncio.create_task(child.run()) for child in children]
    try:
        yield
    finally:
        for child in children:
            child.stop()
        await asyncio.gather(*running)


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
