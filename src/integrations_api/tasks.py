"""How tasks get on beside others: work that has to come to its end though it is cancelled, and work that is long."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

TURN = 0.01
"""Seconds of work after which others get a turn: heartbeats must breathe, and streams be answered."""


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


class Turns:
    """Gives other tasks a turn in the middle of long work."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def pause(self) -> None:
        """Called between two pieces of the work."""
        if time.monotonic() - self._since > TURN:
            await asyncio.sleep(0)
            self._since = time.monotonic()
