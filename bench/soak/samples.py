"""What a soak measures every few seconds, and what counts as flat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

HISTORY = ("audit_entries", "audit_seals", "pgqueuer_statistics", "sync_runs", "versions")
"""Tables that tell what has happened: they grow by a line or two for each run, and nobody prunes them."""

_TABLES = """
    SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes, coalesce(s.n_dead_tup, 0) AS dead
    FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')
               AS connections,
           (SELECT count(*) FROM pgqueuer) AS jobs,
           (SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE d.datname = current_database() AND l.locktype = 'advisory') AS "host slots",
           (SELECT count(*) FROM sync_runs) AS runs
"""
MIB = 1 << 20


@dataclass(frozen=True)
class Tolerance:
    """How much higher the last third may be than the middle third: a share of it, and so much more."""

    share: float
    more: float


TOLERANCES = {
    "RSS MiB": Tolerance(0.05, 3.0),
    "PSS MiB": Tolerance(0.05, 3.0),
    "handles": Tolerance(0.10, 3.0),
    "threads": Tolerance(0.0, 1.0),
    "connections": Tolerance(0.10, 2.0),
    "jobs": Tolerance(0.0, 4.0),
    "host slots": Tolerance(0.0, 4.0),
    "what is kept MiB": Tolerance(0.05, 0.5),
}


@dataclass
class Samples:
    """Each line of the table by name, with a value for each sample."""

    lines: dict[str, list[float]] = field(default_factory=dict)
    tables: list[dict[str, float]] = field(default_factory=list)

    def add(self, found: Mapping[str, float]) -> None:
        for name, value in found.items():
            self.lines.setdefault(name, []).append(value)


def of_process(pid: int) -> dict[str, float]:
    """Memory in MiB, open files and threads of a process; nothing if it has just ended."""
    home = Path(f"/proc/{pid}")
    try:
        sizes = dict(line.split()[:2] for line in (home / "smaps_rollup").read_text().splitlines()[1:])
        status = dict(line.split(":", 1) for line in (home / "status").read_text().splitlines())
        handles = len(list((home / "fd").iterdir()))
    except OSError:
        return {}
    return {
        "RSS MiB": int(sizes["Rss:"]) / 1024,
        "PSS MiB": int(sizes["Pss:"]) / 1024,
        "handles": handles,
        "threads": int(status["Threads"]),
    }


async def of_database(connection: "asyncpg.Connection[Any]") -> tuple[dict[str, float], dict[str, float]]:
    """What is said of the whole database, and MiB of each table with its indexes."""
    counts = dict(await connection.fetchrow(_COUNTS) or {})
    tables = await connection.fetch(_TABLES)
    sizes = {row["name"]: row["bytes"] / MIB for row in tables}
    history = sum(size for name, size in sizes.items() if name in HISTORY)
    found = {
        "what is kept MiB": sum(sizes.values()) - history,
        "history MiB": history,
        "dead rows": float(sum(row["dead"] for row in tables)),
    }
    return {**{name: float(value) for name, value in counts.items()}, **found}, sizes


def thirds(values: Sequence[float]) -> tuple[float, float, float]:
    """The medians of the first, the middle and the last third: what one vacuum does is no trend."""
    size = max(1, len(values) // 3)
    return median(values[:size]), median(values[size : max(size + 1, 2 * size)]), median(values[-size:])


def is_flat(name: str, values: Sequence[float]) -> bool | None:
    """Whether a line grew no more after the first third, its warm-up; None for a line that may grow."""
    tolerance = next((found for ending, found in TOLERANCES.items() if name.endswith(ending)), None)
    if tolerance is None:
        return None
    _, middle, last = thirds(values)
    return last <= middle * (1 + tolerance.share) + tolerance.more
