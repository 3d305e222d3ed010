"""SIGINT, SIGTERM and SIGHUP over the life of a process: they interrupt its start, ask for its end, and do not disturb
that. SIGHUP comes when a terminal is closed; who ignores it (nohup) goes on."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ORPHAN_PATIENCE = 15.0
"""Seconds an orphaned process may take to end by itself."""

Reaction = Callable[[], object]


def leave_tidily() -> None:
    """From now on what would end the process at once interrupts it by `SystemExit`, as Ctrl-C does by an exception of
    its own: a command must not leave a PostgreSQL behind that it has started.
    """
    for number in HANDLED:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Signals:
    """The reactions in force. Made in the main thread; from then on a signal interrupts by `SystemExit`.

    Always by `signal.signal`: an event loop's own handlers vanish with the loop, and a second Ctrl-C would then kill
    the process between the loop's end and the database's.
    """

    def __init__(self) -> None:
        self._reactions: list[Reaction] | None = None
        for number in HANDLED:
            if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:
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


class Parent:
    """The process that started this one, and holds its standard input open as long as it lives.

    From now on this process asks itself to end when that does, also by SIGKILL, and before there is an event loop.
    """

    def __init__(self) -> None:
        self._word = b""
        self._given = threading.Event()
        threading.Thread(target=self._listen, name="end-with-parent", daemon=True).start()

    def word(self) -> dict[str, str]:
        """Waits until the parent says that we may begin (`Child.release`), and returns what it tells us."""
        self._given.wait()
        told: dict[str, str] = json.loads(self._word)
        return told

    def _listen(self) -> None:
        descriptor = sys.stdin.fileno()
        while said := os.read(descriptor, 1024):
            self._word += said
            if said.endswith(b"\n"):
                self._given.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_PATIENCE)
        os.kill(os.getpid(), signal.SIGKILL)
