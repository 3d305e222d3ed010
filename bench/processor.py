"""Processor time of processes on this machine: unlike a latency, it says the same while others work."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg

from tests.support.databases import plain_url

_TICKS = os.sysconf("SC_CLK_TCK")


def seconds_of(processes: Sequence[int]) -> float:
    """What those processes have used so far; those that have ended do not count."""
    used = 0
    for process in processes:
        with suppress(OSError):
            after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            used += int(after_name[11]) + int(after_name[12])
    return used / _TICKS


def backends(url: str) -> list[int]:
    """The processes of a PostgreSQL on this machine, those that serve clients and those that work for all."""

    async def ask() -> list[int]:
        connection = await asyncpg.connect(plain_url(url))
        try:
            return [row["pid"] for row in await connection.fetch("SELECT pid FROM pg_stat_activity")]
        finally:
            await connection.close()

    return asyncio.run(ask())
