"""The chunks of a run's plan, each one transaction, and how the next one is made ready while this one is written."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator

from integrations_api.knowledge.versions import Chunk
from integrations_api.sync.models import SyncRun

MakeReady = Callable[[Chunk], Awaitable[None]]


def chunks_of(run: SyncRun, size: int) -> Iterator[Chunk]:
    """What is left of a plan, so many changes each; none where it makes no version."""
    if run.version is None:
        return
    for before in range(run.ingested, run.planned, size):
        last = min(before + size, run.planned)
        yield Chunk(dataset_id=run.dataset_id, run_id=run.id, version=run.version, first=before + 1, last=last)


async def made_ready(chunks: Iterable[Chunk], make_ready: MakeReady) -> AsyncGenerator[Chunk, None]:
    """Each chunk once it is ready, in their order; meanwhile the one after it is made ready. What fails is raised.

    Close it (use `aclosing`): what is on its way then goes no further.
    """
    waiting: deque[tuple[Chunk, asyncio.Future[None]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, asyncio.ensure_future(make_ready(chunk))))
            if len(waiting) > 1:
                yield await _first(waiting)
        if waiting:
            yield await _first(waiting)
    finally:
        for _, making in waiting:
            making.cancel()
        await asyncio.gather(*(making for _, making in waiting), return_exceptions=True)


async def _first(waiting: deque[tuple[Chunk, asyncio.Future[None]]]) -> Chunk:
    chunk, making = waiting[0]
    await making
    waiting.popleft()
    return chunk
