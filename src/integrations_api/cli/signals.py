"""SIGINT and SIGTERM over the life of a process: they interrupt its start, ask for its end, and do not disturb that."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM)
ORPHAN_PATIENCE = 15.0
"""Seconds an orphaned process may take to end by itself."""

Reaction = Callable[[], object]


class Signals:
    """The reactions in force. Made in the main thread; from then on a signal interrupts by `SystemExit`.

    Always by `signal.signal`: an event loop's own handlers vanish with the loop, and a second Ctrl-C would then kill
    the process between the loop's end and the database's.
    """

    def __init__(self) -> None:
        self._reactions: list[Reaction] | None = None
        for number in HANDLED:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._reactions is None:
            self._reactions = []
            raise SystemExit(128 + number)
        if self._reactions:
            self._reactions.pop(0)()

    @contextmanager
    def asking(self, *reactions: Reaction) -> Iterator[None]:
        """The first signal calls the first reaction, the next the next; what comes after them, and later, is ignored.

        Reactions are called between two steps of the main thread: they may set flags and wake a loop, not wait.
        """
        self._reactions = list(reactions)
        try:
            yield
        finally:
            self._reactions = []


def end_with_parent() -> threading.Event:
    """Asks this process to end when its standard input ends, which a parent holds open as long as it lives.

    Works also for a parent killed by SIGKILL, and before there is an event loop. The event is set when the parent
    gives its word to begin (`Child.release`): anything on standard input.
    """
    word = threading.Event()
    threading.Thread(target=_listen_to_parent, args=[word], name="end-with-parent", daemon=True).start()
    return word


def _listen_to_parent(word: threading.Event) -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 1024):
        word.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)
