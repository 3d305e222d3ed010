"""On how many processes the tests run when `make test` leaves it open."""

import os
from collections.abc import Sequence

PER_CORE = 2
"""Test processes for each core: about half of a test's time is waiting for processes, sockets and the database."""
MOST = 8
"""Each process may hold dozens of connections to the one server they share."""


def processes_for(arguments: Sequence[str]) -> int:
    """Several for folders and for everything; 0, which means none beside this one, for a single file or test."""
    if len(arguments) == 1 and ".py" in arguments[0]:
        return 0
    return min(MOST, PER_CORE * (os.cpu_count() or 1))
