"""A simulated source's clock: whole seconds, UTC, owned by whoever runs the simulator."""

import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

STAMP = "%Y-%m-%d %H:%M:%S"


@lru_cache(maxsize=20_000)
def _date(days: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(days * 86_400))


def stamp(seconds: int) -> str:
    """Seconds since the epoch as `yyyy-MM-dd HH:mm:ss`, UTC (as ServiceNow stores times)."""
    # Ten of these stand in every incident of ServiceNow: formatting the day once makes generating three times faster.
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    return f"{_date(days)} {hours:02d}:{minutes:02d}:{rest:02d}"


def parse_stamp(text: str) -> int:
    """The reverse of `stamp`. Raises ValueError for anything else."""
    return int(datetime.strptime(text, STAMP).replace(tzinfo=UTC).timestamp())


class Clock(Protocol):
    """What a source asks for the time. `offset` is how far the source's clock is off, in seconds."""

    offset: int

    def true_now(self) -> int:
        """Seconds since the epoch, as the world outside sees them."""

    def now(self) -> int:
        """Seconds since the epoch, as the source believes."""


class WallClock:
    """Follows the machine's clock."""

    def __init__(self) -> None:
        self.offset = 0

    def true_now(self) -> int:
        return int(time.time())

    def now(self) -> int:
        return self.true_now() + self.offset


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self, start: str = "2026-03-02 09:00:00") -> None:
        self.offset = 0
        self._now = parse_stamp(start)
        self._lock = threading.Lock()

    def true_now(self) -> int:
        return self._now

    def now(self) -> int:
        return self._now + self.offset

    def advance(self, seconds: int) -> None:
        """Moves the clock; it may be moved backwards."""
        with self._lock:
            self._now += seconds
