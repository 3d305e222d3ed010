"""The simulated source of the demo: the same at every start, but for what has happened there since."""

import time
from contextlib import suppress
from typing import Any

from integrations_api.demo.keeping import Change, SourceMemory
from integrations_api.demo.worlds import KINDS
from integrations_api.errors import ApplicationError
from integrations_api.simulator.common.clock import WallClock, parse_stamp
from integrations_api.simulator.common.server import SimulatorServer

BORN = parse_stamp("2026-02-28 18:00:00")
"""When a source is made, by its own clock: the same at every start."""


class ReplayClock(WallClock):
    """The machine's clock, but for the moments in which the past is made again."""

    fixed: int | None = None

    def true_now(self) -> int:
        return super().true_now() if self.fixed is None else self.fixed


class DemoSource:
    """A context manager: the simulator over a socket of this machine, in a thread of this process."""

    def __init__(self, memory: SourceMemory, *, preferred_port: int) -> None:
        self._memory = memory
        self.kind = KINDS[memory.service]
        self._clock = ReplayClock()
        self._clock.fixed = BORN
        self._made = self.kind.make(memory.incidents, self._clock)
        self._clock.fixed = None
        for change in memory.changes:
            self._happen(change)
        self._server = self._listen(preferred_port)
        self.url = self._server.url

    @property
    def address(self) -> str:
        """host:port, as EGRESS_ALLOWED_HOSTS wants it."""
        return self.url.removeprefix("http://")

    @property
    def incidents(self) -> int:
        """How many there are at the moment."""
        return self._made.world.counts().get(self.kind.counted, 0)

    def let_time_pass(self, steps: int) -> int:
        """Some changes at the source, remembered before they happen; says how many there were."""
        change = Change(at=int(time.time()), steps=steps, seed=len(self._memory.changes) + 1)
        self._memory.changes.append(change)
        self._memory.save()
        return self._happen(change)

    def _happen(self, change: Change) -> int:
        with self._made.world.lock:
            self._clock.fixed = change.at
            try:
                return sum(self._made.evolve(change.steps, change.seed).values())
            finally:
                self._clock.fixed = None

    def _listen(self, preferred_port: int) -> SimulatorServer[Any]:
        """Where it was the last time, for another port is another origin to the service; else where there is room."""
        for port in (self._memory.port, preferred_port, 0):
            if port is not None:
                with suppress(OSError, OverflowError):
                    return self._made.serve(port)
        raise ApplicationError(f"There is no free port on 127.0.0.1 for the simulated {self.kind.name}")

    def __enter__(self) -> "DemoSource":
        self._server.start()
        self._memory.port = int(self.url.rpartition(":")[2])
        self._memory.save()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
