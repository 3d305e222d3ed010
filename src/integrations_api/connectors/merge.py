"""Several things asked at once: the lanes of a fetch as one stream of pages, or a handful of questions."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from integrations_api.connectors.records import Page

T = TypeVar("T")

LaneReader = Callable[[], AsyncGenerator[Page, None]]


async def merged(readers: Sequence[LaneReader], *, concurrency: int) -> AsyncGenerator[Page, None]:
    """Pages of all lanes as they come; those of one lane in their order.

    Up to `concurrency` lanes are read at once, and no more pages than that are on their way or wait for the consumer:
    a page is megabytes. The tasks belong to this generator: closing it (use `aclosing`) ends them. The first failure of
    a lane ends all and is raised.
    """
    waiting = deque(readers)
    room = asyncio.Semaphore(concurrency)
    ready: asyncio.Queue[Page | Exception | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_work(waiting, room, ready)) for _ in range(min(concurrency, len(waiting)))]
    try:
        working = len(tasks)
        while working:
            item = await ready.get()
            if isinstance(item, Exception):
                raise item
            room.release()
            if item is None:
                working -= 1
            else:
                yield item
            del item  # A page is not kept here until the next one has come.
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _work(
    waiting: deque[LaneReader], room: asyncio.Semaphore, ready: asyncio.Queue[Page | Exception | None]
) -> None:
    try:
        await room.acquire()
        while waiting:
            async with aclosing(waiting.popleft()()) as pages:
                async for page in pages:
                    ready.put_nowait(page)
                    del page
                    await room.acquire()
    except Exception as error:
        ready.put_nowait(error)
    else:
        ready.put_nowait(None)


async def together(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The answers, in the order of the questions. The first failure ends the others and is raised."""
    tasks = [asyncio.create_task(question) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def in_chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """So many at a time, in order; the last ones may be fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
