"""How much of a bare program's speed the API keeps: seven routes under 32 clients, against a twin and a template.

The twin is the same routes by hand with FastAPI and asyncpg, tokens and statements included; the template is a plain
FastAPI and SQLAlchemy ORM application (`bench/contestants`). Each serves a clone of one database from one process with
the same uvicorn settings, on a bundled PostgreSQL that does not wait for disks. They take turns; medians of the rounds.

`sync` is the stream of a run that is over, asked for with Last-Event-ID: seven events from the run log, without a
worker and a source, which `bench.sync` measures.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import asyncpg

from bench.api_work import OPERATIONS, Operation, World, make_world, prepared
from bench.load import Outcome, Plan
from bench.processor import backends, seconds_of
from integrations_api.cli.child import own_command
from integrations_api.db.migrations import upgrade
from integrations_api.logs import configure_logging
from tests.support.applications import settings_for
from tests.support.databases import Databases, database_name, databases, plain_url, throwaway_server
from tests.support.processes import as_environment, wait_for, workplace

CONTESTANTS = ("product", "twin", "template")
TO_REACH = {"twin": 0.6, "template": 1.0}
WARM_UP = 100
"""Requests before the first round of an operation: connections, prepared statements."""


@dataclass(frozen=True)
class Contestant:
    """One that serves."""

    name: str
    url: str
    process: "subprocess.Popen[bytes]"
    port: int


@dataclass
class Measured:
    """Of one contestant and operation: a value a round, and every latency in milliseconds."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    database: list[float] = field(default_factory=list)
    statements: str = ""

    def add(self, outcome: Outcome, *, server: float, database: float) -> None:
        """One round; processor time in milliseconds a request."""
        self.rates.append(len(outcome.latencies) / outcome.seconds)
        self.latencies += outcome.latencies
        self.server.append(server)
        self.database.append(database)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return statistics.median(self.rates)

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]


def main(arguments: list[str]) -> None:
    """Prints one table, a row for each operation."""
    parser = argparse.ArgumentParser(prog="python -m bench api", description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=800, help="of each operation in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--operations", nargs="+", default=[operation.name for operation in OPERATIONS])
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    chosen = parser.parse_args(arguments)
    configure_logging(log_format="text", level="WARNING")
    operations = [operation for operation in OPERATIONS if operation.name in chosen.operations]
    with throwaway_server() as server, databases(server) as made:
        settings = settings_for(server)
        template = made.create()
        upgrade(template)
        world = asyncio.run(make_world(template, settings))
        with ExitStack() as stack:
            serving = [stack.enter_context(_serving(name, made, template, world)) for name in chosen.contestants]
            results = _Results.of(operations, chosen.contestants)
            for _ in range(chosen.rounds):
                _round(serving, operations, world, results, clients=chosen.clients, requests=chosen.requests)
        with ExitStack() as stack:
            _log_statements(server)
            serving = [stack.enter_context(_serving(name, made, template, world)) for name in chosen.contestants]
            _count_statements(serving, operations, world, results)
    results.show(chosen)


@contextmanager
def _serving(name: str, made: Databases, template: str, world: World) -> Iterator[Contestant]:
    """A contestant over its own clone of the database, until the end of the context."""
    url = made.create(template=database_name(template))
    environment = {**os.environ, **as_environment(world.settings), "DATABASE_URL": url}
    command = [sys.executable, "-m", f"bench.contestants.{name}"]
    if name == "product":
        command = own_command("serve", "--no-worker", "--host", "127.0.0.1", "--port", "0")
    with workplace() as folder:
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield Contestant(name=name, url=url, process=process, port=_port(process, log))
        finally:
            process.terminate()
            process.wait()
            made.drop(url)


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    def look() -> re.Match[str] | None:
        if process.poll() is not None:
            raise SystemExit(f"it ended at once: {log.read_text()}")
        return re.search(r"serve\.started .*\burl=\S+:(\d+)\s", log.read_text())

    return int(wait_for(look, "its start")[1])


@dataclass
class _Results:
    """What was measured, by operation and contestant."""

    measured: dict[tuple[str, str], Measured]

    @classmethod
    def of(cls, operations: Sequence[Operation], contestants: Sequence[str]) -> Self:
        return cls({(operation.name, name): Measured() for operation in operations for name in contestants})

    def show(self, chosen: argparse.Namespace) -> None:
        print(f"\n{chosen.clients} clients, {chosen.rounds} rounds of {chosen.requests} requests of a kind")
        for title, value in _COLUMNS:
            print(f"\n| {title:34} |" + "".join(f" {name:>9} |" for name in chosen.contestants))
            print(f"|{'-' * 36}|" + f"{'-' * 11}|" * len(chosen.contestants))
            for operation in dict.fromkeys(operation for operation, _ in self.measured):
                cells = (value(self.measured[operation, name]) for name in chosen.contestants)
                print(f"| {operation:34} |" + "".join(f" {cell:>9} |" for cell in cells))
        self._show_ratios(chosen.contestants)

    def _show_ratios(self, contestants: Sequence[str]) -> None:
        others = [name for name in contestants if name in TO_REACH and "product" in contestants]
        if not others:
            return
        print(f"\n| {'product / other, requests a second':34} |" + "".join(f" {name:>9} |" for name in others))
        print(f"|{'-' * 36}|" + f"{'-' * 11}|" * len(others))
        for operation in dict.fromkeys(operation for operation, _ in self.measured):
            product = self.measured[operation, "product"].rate
            ratios = (product / self.measured[operation, name].rate for name in others)
            print(f"| {operation:34} |" + "".join(f" {ratio:9.2f} |" for ratio in ratios))
        print(f"| {'to reach':34} |" + "".join(f" {TO_REACH[name]:9.2f} |" for name in others))


_COLUMNS = (
    ("requests a second", lambda one: f"{one.rate:.0f}"),
    ("p99 ms", lambda one: f"{one.p99:.0f}"),
    ("CPU ms a request: server", lambda one: f"{statistics.median(one.server):.2f}"),
    ("CPU ms a request: PostgreSQL", lambda one: f"{statistics.median(one.database):.2f}"),
    ("statements (to begin, to end)", lambda one: one.statements),
)


def _round(
    serving: Sequence[Contestant],
    operations: Sequence[Operation],
    world: World,
    results: _Results,
    *,
    clients: int,
    requests: int,
) -> None:
    """Every operation once by everybody, the contestants in turn."""
    for operation in operations:
        for contestant in serving:
            measured = results.measured[operation.name, contestant.name]
            warm_up = 0 if measured.rates else WARM_UP
            own = prepared(contestant.url, world, requests + warm_up if operation.takes else 0)
            sent = operation.requests(world, own, requests + warm_up)
            if warm_up:
                _load(Plan(contestant.port, clients, operation.status, sent[requests:]))
            server, database = seconds_of([contestant.process.pid]), seconds_of(backends(contestant.url))
            outcome = _load(Plan(contestant.port, clients, operation.status, sent[:requests]))
            server, database = seconds_of([contestant.process.pid]) - server, _grown(contestant.url, database)
            measured.add(outcome, server=server * 1000 / requests, database=database * 1000 / requests)
        print(".", end="", flush=True)


def _grown(url: str, before: float) -> float:
    return max(0.0, seconds_of(backends(url)) - before)


def _load(plan: Plan) -> Outcome:
    """Carries a plan out, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=json.dumps(asdict(plan)), capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return Outcome(**json.loads(done.stdout))


def _log_statements(server: str) -> None:
    """Lets the server write down each statement from now on."""

    async def ask() -> None:
        connection = await asyncpg.connect(plain_url(server))
        try:
            await connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    asyncio.run(ask())


def _log_of(url: str) -> Path:
    async def ask() -> Path:
        connection = await asyncpg.connect(plain_url(url))
        try:
            return Path(await connection.fetchval("SHOW data_directory")) / "server.log"
        finally:
            await connection.close()

    return asyncio.run(ask())


_COUNTED = 10


def _count_statements(
    serving: Sequence[Contestant], operations: Sequence[Operation], world: World, results: _Results
) -> None:
    """How many statements a request is, and how many of them only begin or end a transaction."""
    for contestant in serving:
        log = _log_of(contestant.url)
        for operation in operations:
            own = prepared(contestant.url, world, 2 * _COUNTED if operation.takes else 0)
            sent = operation.requests(world, own, 2 * _COUNTED)
            _load(Plan(contestant.port, 1, operation.status, sent[:_COUNTED]))
            before = log.stat().st_size
            _load(Plan(contestant.port, 1, operation.status, sent[_COUNTED:]))
            results.measured[operation.name, contestant.name].statements = _counted(log, before)


def _counted(log: Path, position: int) -> str:
    with log.open("rb") as stream:
        stream.seek(position)
        said = re.findall(rb"LOG:  (?:statement|execute [^:]*):\s*(\w+)", stream.read())
    around = sum(word.upper() in {b"BEGIN", b"COMMIT", b"ROLLBACK"} for word in said)
    return f"{len(said) / _COUNTED:.0f} ({around / _COUNTED:.0f})"
