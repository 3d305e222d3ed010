"""How fast searching is: `serve` as a process of its own over many made-up incidents, asked by clients over HTTP.

Words and queries are drawn alike, so common words are asked for as often as they are said. The clients ask as so many
users, in a process of their own, each again as soon as it is answered. Beside the latencies stands the processor time a
question took in the service and in PostgreSQL: unlike them it says the same on a busy machine.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
from sqlalchemy import text

from bench.generated import any_word, fill, number
from bench.load import Outcome, Plan
from integrations_api.access.passwords import Passwords
from integrations_api.access.permissions import Permission
from integrations_api.access.service import AccessService
from integrations_api.clock import utc_now
from integrations_api.db.embedded import start_embedded
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.db.migrations import upgrade
from integrations_api.settings import Settings
from integrations_api.wiring import assemble
from tests.support.applications import settings_for
from tests.support.databases import plain_url
from tests.support.processes import as_environment, running, workplace

SEED = 5
TOKEN_LIFE = timedelta(hours=1)
_TICKS = os.sysconf("SC_CLK_TCK")
_SETTLED = 5.0
"""Seconds after its start in which a service imports what nobody had to wait for."""


@dataclass
class Measured:
    """Milliseconds of each answer, and milliseconds of processor time a question took."""

    latencies: list[float] = field(default_factory=list)
    service_cpu: float = 0.0
    database_cpu: float = 0.0

    def percentile(self, share: float) -> float:
        """The latency that so great a share of the answers did not exceed."""
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def main(arguments: list[str]) -> None:
    """Prints one table for each size."""
    parser = argparse.ArgumentParser(prog="python -m bench search", description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where a filled database is kept for the next time")
    chosen, _ = parser.parse_known_args(arguments)
    for documents in chosen.documents:
        with filled(documents, chosen.folder) as url:
            _compare(url, documents, chosen.clients, chosen.queries)


@contextmanager
def filled(documents: int, kept: Path | None) -> Iterator[str]:
    """The URL of a PostgreSQL that holds so many incidents; on disk, for they may be more than memory holds."""
    with tempfile.TemporaryDirectory(prefix="integrations-api-bench-") as gone:
        folder = kept / str(documents) if kept else Path(gone)
        with start_embedded(folder) as server:
            upgrade(server.url)
            asyncio.run(_fill_once(server.url, documents))
            yield server.url


async def _fill_once(url: str, documents: int) -> None:
    engine = create_engine(url, pool_size=2)
    sessions = create_sessions(engine)
    try:
        async with sessions() as session:
            held = await session.scalar(text("SELECT max(documents) FROM datasets WHERE head IS NOT NULL"))
        if held != documents:
            await fill(sessions, documents)
            await _vacuum(url)
    finally:
        await engine.dispose()


async def _vacuum(url: str) -> None:
    connection = await asyncpg.connect(plain_url(url))
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _compare(url: str, documents: int, clients: Sequence[int], queries: int) -> None:
    questions, warming = _questions(SEED, documents, queries), _questions(SEED + 1, documents, queries)
    settings = settings_for(url, access_rate_factor=1000)
    tokens = asyncio.run(issue_tokens(settings, max(clients)))
    environment = {**as_environment(settings), "ACCESS_RATE_FACTOR": "1000"}
    print(f"\n{documents:,} incidents, {queries} questions of a kind")
    print(f"| {'':8} | clients |  p50 ms |  p95 ms |  max ms | CPU ms: service | CPU ms: PostgreSQL |")
    print("|----------|---------|---------|---------|---------|-----------------|--------------------|")
    with workplace() as folder, running(folder, "serve", "--no-worker", "--port", "0", settings=environment) as serve:
        base = serve.wait_to_say(r"serve\.started .*\burl=(\S+)")[1]
        time.sleep(_SETTLED)
        for name, paths in questions.items():
            for many in clients:
                # Other questions by as many clients, so that each connection has planned, as in a service that runs.
                measure(base, warming[name], tokens, many, lambda: 0.0, lambda: 0.0)
                measured = measure(
                    base, paths, tokens, many, lambda: _seconds([serve.process.pid]), lambda: _seconds(_backends(url))
                )
                print(
                    f"| {name:8} | {many:7} | {measured.percentile(0.5):7.1f} | {measured.percentile(0.95):7.1f} "
                    f"| {measured.percentile(1):7.1f} | {measured.service_cpu:15.1f} | {measured.database_cpu:18.1f} |",
                    flush=True,
                )


def _questions(seed: int, documents: int, queries: int) -> dict[str, list[str]]:
    """Paths of so many searches, and of as many questions for what is similar; the same ones for a seed."""
    chance = random.Random(seed)
    searches = [f"/knowledge/search?q={quote(_query(i, documents, chance))}" for i in range(queries)]
    numbers = [number(chance.randint(1, documents)) for _ in range(queries)]
    return {"search": searches, "similar": [f"/knowledge/incidents/{one}/similar" for one in numbers]}


def _query(i: int, documents: int, chance: random.Random) -> str:
    """Eight kinds in turn: one to three words, a beginning, without, alternatives, a question, a number."""

    def some(n: int) -> str:
        return " ".join(any_word(chance) for _ in range(n))

    kinds: list[Callable[[], str]] = [
        lambda: some(1),
        lambda: some(2),
        lambda: some(3),
        lambda: f"{some(1)} {some(1)[:4]}",
        lambda: f"{some(1)} -{some(1)}",
        lambda: f"{some(1)} or {some(1)}",
        lambda: some(9),
        lambda: number(chance.randint(1, documents)),
    ]
    return kinds[i % len(kinds)]()


async def issue_tokens(settings: Settings, users: int) -> list[str]:
    """Bearer tokens of so many new users who may search."""
    tokens = []
    async with assemble(settings, clock=utc_now, passwords=Passwords()) as components:
        access = components[AccessService]
        for i in range(users):
            email = f"user-{i}-{time.time_ns()}@example.com"
            await access.create_user(
                email=email, password="correct horse battery staple", permissions=[Permission.KNOWLEDGE_VIEW]
            )
            tokens.append((await access.issue_token(email, TOKEN_LIFE)).text)
    return tokens


def measure(
    base: str,
    paths: Sequence[str],
    tokens: Sequence[str],
    clients: int,
    service_seconds: Callable[[], float],
    database_seconds: Callable[[], float],
) -> Measured:
    """Every path asked for once, by so many clients at the same time, in a process that does nothing else."""
    address = urlsplit(base)
    requests = [_request(path, address.netloc, tokens[i % clients]) for i, path in enumerate(paths)]
    plan = Plan(port=address.port or 80, clients=clients, status=200, requests=requests)
    service, database = service_seconds(), database_seconds()
    ran = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(plan)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Measured(
        Outcome(**json.loads(ran.stdout)).latencies,
        service_cpu=(service_seconds() - service) * 1000 / len(paths),
        database_cpu=(database_seconds() - database) * 1000 / len(paths),
    )


def _request(path: str, host: str, token: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"


def _seconds(processes: Sequence[int]) -> float:
    """Processor time that those processes of this machine have used."""
    used = 0
    for process in processes:
        with suppress(OSError):
            after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            used += int(after_name[11]) + int(after_name[12])
    return used / _TICKS


def _backends(url: str) -> list[int]:
    """The processes of a PostgreSQL on this machine that serve clients."""

    async def ask() -> list[int]:
        connection = await asyncpg.connect(plain_url(url))
        try:
            return [row["pid"] for row in await connection.fetch("SELECT pid FROM pg_stat_activity")]
        finally:
            await connection.close()

    return asyncio.run(ask())
