"""How much more workers get done: eight integrations synced at once by 1, 2 and 4 of them, and what each process used.

Every worker is a process of its own, as `integrations-api worker` is, over a bundled PostgreSQL that is used for
nothing else; the sources are processes too. Processor time is read from the kernel, for PostgreSQL of all its
processes together, so the table says what the next worker would have to wait for.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from integrations_api.db.migrations import upgrade
from integrations_api.logs import configure_logging
from integrations_api.settings import Settings
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import is_final
from tests.support.databases import Databases, databases, throwaway_server
from tests.support.processes import as_environment, several, workplace
from tests.support.source_process import Sources, running_sources
from tests.support.syncing import Bench, bench

SOURCE_PROCESSES = 4
BUSY = 0.9
"""A share of a core, or of all, from which on it counts as taken."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time so far, and the clock."""

    workers: tuple[float, ...]
    postgres: float
    sources: float
    machine: float
    at: float

    def since(self, before: "Usage") -> "Usage":
        """What was used from then until now."""
        return Usage(
            workers=tuple(now - then for now, then in zip(self.workers, before.workers, strict=True)),
            postgres=self.postgres - before.postgres,
            sources=self.sources - before.sources,
            machine=self.machine - before.machine,
            at=self.at - before.at,
        )


@dataclass(frozen=True)
class Measured:
    """One way to do the same work: how many rows, and what they took."""

    rows: int
    used: Usage

    @property
    def rate(self) -> float:
        return self.rows / self.used.at

    @property
    def limit(self) -> str:
        """What was taken: the reason why it was no faster."""
        used = self.used
        if used.machine / used.at >= BUSY * (os.cpu_count() or 1):
            return "all cores are taken"
        if min(used.workers) / used.at >= BUSY:
            return "each worker's core is taken"
        return "sources are waited for"


def main(arguments: list[str]) -> None:
    """Prints one table for each latency of the sources."""
    parser = argparse.ArgumentParser(prog="python -m bench workers", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--integrations", type=int, default=8)
    parser.add_argument("--incidents", type=int, default=5000, help="of each integration")
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 300], help="milliseconds a request")
    chosen = parser.parse_args(arguments)
    configure_logging(log_format="text", level="WARNING")
    with throwaway_server() as server, databases(server) as made:
        for latency in chosen.latency:
            with _sources(chosen.integrations, chosen.incidents, latency) as sources:
                measured = {count: asyncio.run(_measure(_migrated(made), count, sources)) for count in chosen.workers}
            _print(chosen.integrations, latency, measured)


@contextmanager
def _sources(count: int, incidents: int, latency: int) -> Iterator[list[Sources]]:
    """So many instances, in a few processes, that have been read once: the first reading is dearer."""
    with ExitStack() as stack:
        shares = [len(range(n, count, SOURCE_PROCESSES)) for n in range(SOURCE_PROCESSES)]
        sources = [stack.enter_context(running_sources(share, incidents, latency=latency)) for share in shares if share]
        for source in sources:
            source.go_on()
        command = [sys.executable, "-m", "bench.contestants.lower_bound"]
        readers = [subprocess.Popen([*command, url, ""], stdout=subprocess.DEVNULL) for url in _urls(sources)]
        if any(reader.wait() for reader in readers):
            raise SystemExit("the sources could not be read")
        yield sources


def _urls(sources: list[Sources]) -> list[str]:
    return [url for source in sources for url in source.urls]


def _migrated(made: Databases) -> str:
    url = made.create()
    upgrade(url)
    return url


async def _measure(url: str, count: int, sources: list[Sources]) -> Measured:
    """First syncs of all sources at once, from the moment they are asked for until the last has ended."""
    async with bench(url, workers=0, in_memory=False, egress_allowed_hosts=("127.0.0.1",)) as b:
        integrations = [
            await b.integration(url=source, username="integration", password="simulator-password")
            for source in _urls(sources)
        ]
        settings = as_environment(b.components[Settings])
        postgres = await _postmaster(b)
        with workplace() as home, several(home, "worker", "worker", settings=settings, count=count) as workers:
            for worker in workers:
                worker.wait_to_say("worker.started")
            pids = [worker.process.pid for worker in workers]
            before = _usage(pids, postgres, sources)
            runs = [await b.start(integration) for integration in integrations]
            ended = [await _ended(b, run_id) for run_id in runs]
            used = _usage(pids, postgres, sources).since(before)
    assert all(run.state == "succeeded" for run in ended), [run.error for run in ended]
    return Measured(rows=sum(run.added for run in ended), used=used)


async def _ended(b: Bench, run_id: UUID) -> SyncRun:
    """The run, once it is over; asked for seldom, for asking is no part of a sync."""
    while not is_final((run := await b.run(run_id)).state):  # noqa: ASYNC110 - another process ends it
        await asyncio.sleep(0.1)
    return run


async def _postmaster(b: Bench) -> int:
    """The parent of the process that answers."""
    ((backend,),) = await b.rows("SELECT pg_backend_pid()")
    return int(_stat(backend)[1])


def _usage(workers: list[int], postgres: int, sources: list[Sources]) -> Usage:
    return Usage(
        workers=tuple(_seconds(_stat(pid)[11:13]) for pid in workers),
        postgres=_of_family(postgres),
        sources=sum(_seconds(_stat(source.process.pid)[11:13]) for source in sources),
        machine=_of_machine(),
        at=time.monotonic(),
    )


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the state on: 1 is the parent, 11 and 12 own ticks, 13 and 14 those of ended children."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _seconds(ticks: list[str]) -> float:
    return sum(int(number) for number in ticks) / _TICKS


def _of_family(parent: int) -> float:
    """Of a process, its living children, and those that have ended."""
    total = _seconds(_stat(parent)[11:15])
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            fields = _stat(int(entry.name))
            if int(fields[1]) == parent:
                total += _seconds(fields[11:13])
    return total


def _of_machine() -> float:
    """Of everybody on this machine: all but the idle and the waiting time of the first line of /proc/stat."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return _seconds([number for place, number in enumerate(fields) if place not in (3, 4)])


def _print(integrations: int, latency: int, measured: dict[int, Measured]) -> None:
    cores = os.cpu_count() or 1
    rows = next(iter(measured.values())).rows
    print(f"\n{integrations} integrations, {rows:,} rows, {latency} ms a request, {cores} cores")
    print(f"{'workers':>7}{'seconds':>9}{'rows/s':>8}{'ratio':>7}   processor time in seconds"
          f"{'':>9}µs a row  cores taken, and so")  # fmt: skip
    print(f"{'':31}   {'each worker':>17}{'PostgreSQL':>12}{'sources':>9}")
    base = next(iter(measured.values())).rate
    for count, m in measured.items():
        used = m.used
        each = " ".join(f"{seconds:.1f}" for seconds in used.workers)
        cost = (sum(used.workers) + used.postgres) / m.rows * 1e6
        print(f"{count:7}{used.at:9.1f}{m.rate:8.0f}{m.rate / base:7.2f}   {each:>17}{used.postgres:12.1f}"
              f"{used.sources:9.1f}{cost:10.0f}  {used.machine / used.at:.2f}: {m.limit}")  # fmt: skip
