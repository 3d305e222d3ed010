"""What `serve` does: take the port, open the database, start the worker, answer until asked to end.

The parts that answer are imported only after the worker was started, for both take most of a start for that.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from integrations_api.cli import loops
from integrations_api.cli.child import WORKER_BESIDE, Child, own_command
from integrations_api.cli.embedding_beside import own_embedder
from integrations_api.cli.setup import opened_database, settings_for_process
from integrations_api.cli.signals import Signals, end_with_parent
from integrations_api.cli.sockets import listen
from integrations_api.logs import get_logger
from integrations_api.settings import Settings

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What `serve` has when it begins to answer: port and database are open, the children may be started."""

    settings: Settings
    url: str
    listener: socket.socket
    signals: Signals
    beside: Sequence[Child]
    with_worker: bool


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
        opened = Opened(
            settings=settings, url=url, listener=listener, signals=signals, beside=beside, with_worker=with_worker
        )
        loops.run(_serve(opened))


def _worker(settings: Settings) -> Child:
    """A worker that knows of an embedding service of our own."""
    address = settings.embeddings_url
    environment = {} if address is None else {"EMBEDDINGS_URL": address}
    return Child(own_command(*WORKER_BESIDE), environment=environment)


async def _serve(opened: Opened) -> None:
    async with _running(opened.beside):
        # In a thread, or the loop would not come to starting anybody before the end of it.
        answer = await asyncio.to_thread(_import_answer)
        await answer(opened)
    log.info("serve.ended")


def _import_answer() -> Callable[[Opened], Awaitable[None]]:
    from integrations_api.cli.answering import answer

    return answer


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
