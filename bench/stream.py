"""What watching costs: the delay from a commit to the last client, memory, and processor time, `serve` by itself.

A run stands still while the clients come; then a progress event is committed now and again, as a sync does, and each
client notes when it has it. Clients that read nothing follow: what they leave unread must not pile up in the service.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import update

from bench.processor import seconds_of
from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.db.migrations import upgrade
from integrations_api.logs import configure_logging
from integrations_api.settings import Settings
from integrations_api.sync import events, run_log
from integrations_api.sync.models import SyncRun
from tests.support.applications import PASSWORD
from tests.support.databases import Databases, databases, throwaway_server
from tests.support.processes import as_environment, running, workplace
from tests.support.syncing import Bench, bench

MINUTES = 600.0
PAUSE = 0.1
"""Seconds between two commits."""

Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Usage:
    """Seconds of processor time so far, and MiB of memory now."""

    cpu: float
    memory: float


@dataclass(frozen=True)
class Scene:
    """A run that stands still before its first page, and the process that is asked about it."""

    bench: Bench
    run_id: UUID
    pid: int
    port: int
    token: str

    def usage(self) -> Usage:
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert resident is not None
        return Usage(cpu=seconds_of([self.pid]), memory=int(resident[1]) / 1024)

    @asynccontextmanager
    async def watched(self, count: int) -> AsyncIterator[Process]:
        """So many clients in a process of their own, who have seen the run's first event."""
        arguments = ("-m", "bench.watching", str(self.port), str(self.run_id), str(count))
        environment = {**os.environ, "TOKEN": self.token}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=PIPE, env=environment, limit=2**24
        )
        try:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"all are there\n"
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def commit_event(self) -> tuple[int, float]:
        """One more event of the run: its number, and when it was committed."""
        async with self.bench.sessions.begin() as session:
            raised = update(SyncRun).where(SyncRun.id == self.run_id).values(last_event=SyncRun.last_event + 1)
            seq = await session.scalar(raised.returning(SyncRun.last_event))
            news = events.progress("The source asked us to slow down; waiting...")
            await run_log.write_events(session, run_id=self.run_id, last=seq, events=[news])
        return seq, time.monotonic()

    async def connect(self) -> Socket:
        """A client who has seen the run's first event, and reads no further by itself."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"GET /integrations/runs/{self.run_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}"
        writer.write(f"{head}\r\n\r\n".encode())
        await reader.readuntil(b"\nid: ")
        return reader, writer

    def go_on(self) -> None:
        assert self.bench.source.gate is not None
        self.bench.source.gate.set()


def main(arguments: list[str]) -> None:
    """Prints a row for each number of clients, and what clients cost that read nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench stream", description=__doc__)
    parser.add_argument("--watchers", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--events", type=int, default=200, help="committed while the clients watch, ten a second")
    parser.add_argument("--idle", type=int, default=20, help="seconds in which nothing happens")
    parser.add_argument("--asleep", type=int, default=100, help="clients that read nothing")
    parser.add_argument("--unread", type=int, default=20_000, help="incidents synced before those")
    chosen = parser.parse_args(arguments)
    configure_logging(log_format="text", level="WARNING")
    with throwaway_server() as server, databases(server) as made:
        print(
            "| clients | p50 ms | p99 ms | KiB each | CPU ms to come | idle: % of a core | CPU us an event and client |"
        )
        print(
            "|---------|--------|--------|----------|----------------|-------------------|----------------------------|"
        )
        for watchers in chosen.watchers:
            asyncio.run(_readers(_migrated(made), watchers, chosen.events, chosen.idle))
        print("| to reach at 1,000 | | < 100 | < 50 | | | |")
        if chosen.asleep:
            asyncio.run(_sleepers(_migrated(made), chosen.asleep, chosen.unread))


def _migrated(made: Databases) -> str:
    url = made.create()
    upgrade(url)
    return url


async def _readers(url: str, watchers: int, count: int, idle: int) -> None:
    async with _scene(url, incidents=20) as scene:
        alone = scene.usage()
        async with scene.watched(watchers) as process:
            waiting = scene.usage()
            await asyncio.sleep(idle)
            idled = scene.usage()
            committed = {}
            for _ in range(count):
                seq, committed[seq] = await scene.commit_event()
                await asyncio.sleep(PAUSE)
            after = scene.usage()
            scene.go_on()
            assert process.stdout is not None
            arrived = json.loads(await process.stdout.readline())
    each = (waiting.memory - alone.memory) / watchers * 1024
    coming = (waiting.cpu - alone.cpu) / watchers * 1000
    delays = sorted((arrived[str(seq)] - moment) * 1000 for seq, moment in committed.items())
    print(
        f"| {watchers:7} | {statistics.median(delays):6.1f} | {delays[int(len(delays) * 0.99)]:6.1f} "
        f"| {each:8.0f} | {coming:14.2f} "
        f"| {(idled.cpu - waiting.cpu) / max(idle, 1) * 100:17.1f} "
        f"| {(after.cpu - idled.cpu) / (count * watchers) * 1e6:26.0f} |",
        flush=True,
    )


async def _sleepers(url: str, watchers: int, incidents: int) -> None:
    async with _scene(url, incidents) as scene:
        asleep = [await scene.connect() for _ in range(watchers)]
        reader, writer = await scene.connect()
        waiting = scene.usage()
        scene.go_on()
        size = 0
        while not (line := await reader.readline()).startswith(b"0\r\n"):
            size += len(line)
        after = scene.usage()
        for _, one in [*asleep, (reader, writer)]:
            one.transport.abort()
    grown = (after.memory - waiting.memory) / watchers * 1024
    print(
        f"{watchers} clients that read nothing of {size / 2**20:.1f} MiB: {grown:.0f} KiB more for each in the service"
    )


@asynccontextmanager
async def _scene(url: str, incidents: int) -> AsyncIterator[Scene]:
    async with bench(url, patience=MINUTES, worker_silence=10) as b:
        # Long numbers make long events, so that what is not read cannot all wait in sockets.
        b.source.add(*(f"INC{i:07d}{'x' * 200}" for i in range(incidents)))
        b.source.gate = asyncio.Event()
        run_id = await b.start(await b.integration())
        await b.source.reached.wait()
        access = b.components[AccessService]
        await access.create_user(email="bench@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
        token = await access.issue_token("bench@example.com", timedelta(hours=1))
        settings = as_environment(b.components[Settings])
        with workplace() as home, running(home, "serve", "--no-worker", "--port", "0", settings=settings) as serve:
            port = int((await asyncio.to_thread(serve.wait_until_ready)).rpartition(":")[2])
            scene = Scene(bench=b, run_id=run_id, pid=serve.process.pid, port=port, token=token.text)
            for _ in range(3):  # What the first one makes for all is no client's.
                _, writer = await scene.connect()
                writer.close()
            yield scene
