"""The event loop of processes that stay: uvloop where it is installed, and a collector that is called less often."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def run(main: Coroutine[None, None, T]) -> T:
    """`asyncio.run`, on the fastest loop there is."""
    _relieve_collector()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _relieve_collector() -> None:
    """What was imported stays for ever, and a page of records is tens of thousands of objects without a cycle.

    Looking through both again and again was an eighth of a sync's own work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
