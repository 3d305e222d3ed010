"""Work that has to come to its end though whoever asked for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Carries the work out to its end; that the caller is cancelled takes effect after it.

    For what is short and bounded, and would be missed: giving back, closing. Who is cancelled a second time does not
    wait any longer; the work goes on all the same.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
