"""The event loop of processes that stay: uvloop where it is installed, and a collector that is called less often."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def run(main: Coroutine[None, None, T]) -> T:
    """`asyncio.run`, on the fastest loop there is."""
    collect_seldom()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def collect_seldom() -> None:
    """What is imported stays for ever, and a page of records is tens of thousands of objects without a cycle.

    Looking through both again and again was a tenth of a start, and an eighth of a sync's own work.
    """
    gc.set_threshold(10_000, 20, 20)


def spare_what_is_there() -> None:
    """The collector begins, and never looks at what is there now: modules and parts, for the life of the process.

    It does not look once before, which takes a sixth of a second: imports leave nothing to collect.
    """
    gc.freeze()
    gc.enable()
