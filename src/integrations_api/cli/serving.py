"""What `serve` does: take the port, open the database, answer until asked to end.

The parts that answer are imported only when the database is open and the children are looked after.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from integrations_api.cli import loops
from integrations_api.cli.child import Child
from integrations_api.cli.embedding_beside import own_embedder, word_of
from integrations_api.cli.setup import opened_database, settings_for_process
from integrations_api.cli.signals import Parent, Signals
from integrations_api.cli.sockets import allow_open_files, listen
from integrations_api.logs import get_logger
from integrations_api.settings import Settings

log = get_logger(__name__)


class Opened(Struct, frozen=True, kw_only=True):
    """What `serve` has when it begins to answer: port and database are open, the children may be started."""

    settings: Settings
    url: str
    listener: socket.socket
    signals: Signals
    beside: Sequence[Child]
    with_worker: bool


def run_service(*, host: str | None, port: int | None, worker: Child | None, with_parent: bool) -> None:
    """Runs until SIGINT or SIGTERM; then everything it started is gone, PostgreSQL last. The worker has begun."""
    signals = Signals()
    if with_parent:
        Parent()
    settings = settings_for_process(host=host, port=port)
    allow_open_files()
    with (
        listen(settings.host, settings.port) as listener,
        opened_database(settings, looked_after=True) as url,
        own_embedder(settings) as (settings, embedder),
    ):
        if worker is not None and embedder is not None:
            worker.word |= word_of(settings)
        beside = [child for child in (embedder, worker) if child is not None]
        opened = Opened(
            settings=settings,
            url=url,
            listener=listener,
            signals=signals,
            beside=beside,
            with_worker=worker is not None,
        )
        loops.run(_serve(opened))


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
