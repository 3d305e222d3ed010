"""What watching costs: `serve` as a process of its own, its memory and processor time with many clients on one run.

The run stands still while the clients come; then its events go to all of them. Clients that read nothing follow: what
they leave unread must not pile up in the service.
"""

import argparse
import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.db.migrations import upgrade
from integrations_api.logs import configure_logging
from integrations_api.settings import Settings
from tests.support.applications import PASSWORD
from tests.support.databases import Databases, databases, throwaway_server
from tests.support.processes import as_environment, running, workplace
from tests.support.syncing import Bench, bench

AT_ONCE = 50
"""Clients that connect together."""
MINUTES = 600.0
_TICKS = os.sysconf("SC_CLK_TCK")

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
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert resident is not None
        return Usage(cpu=(int(fields[11]) + int(fields[12])) / _TICKS, memory=int(resident[1]) / 1024)

    async def watch(self, count: int) -> list[Socket]:
        """So many clients who have seen the run's first event, and nothing after it."""
        found: list[Socket] = []
        while len(found) < count:
            found += await asyncio.gather(*(self._connect() for _ in range(min(AT_ONCE, count - len(found)))))
        return found

    async def _connect(self) -> Socket:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"GET /integrations/runs/{self.run_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}"
        writer.write(f"{head}\r\n\r\n".encode())
        await reader.readuntil(b"\nid: ")
        return reader, writer

    def go_on(self) -> None:
        assert self.bench.source.gate is not None
        self.bench.source.gate.set()


def main(arguments: list[str]) -> None:
    """Prints what each client costs, while nothing happens, while events come, and when it reads nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench watchers", description=__doc__)
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--incidents", type=int, default=2000)
    parser.add_argument("--idle", type=int, default=30, help="seconds in which nothing happens")
    chosen = parser.parse_args(arguments)
    configure_logging(log_format="text", level="WARNING")
    with throwaway_server() as server, databases(server) as made:
        asyncio.run(_readers(_migrated(made), chosen.watchers, chosen.incidents, chosen.idle))
        # Fewer clients and more events: what the sockets hold must be spent first.
        asyncio.run(_sleepers(_migrated(made), max(1, chosen.watchers // 10), chosen.incidents * 10))


def _migrated(made: Databases) -> str:
    url = made.create()
    upgrade(url)
    return url


async def _readers(url: str, watchers: int, incidents: int, idle: int) -> None:
    async with _scene(url, incidents) as scene:
        alone = scene.usage()
        clients = await scene.watch(watchers)
        waiting = scene.usage()
        await asyncio.sleep(idle)
        idled = scene.usage()
        begun = time.monotonic()
        scene.go_on()
        seen = await asyncio.gather(*(_count_to_the_end(*client) for client in clients))
        after = scene.usage()
    assert len(set(seen)) == 1
    events = sum(seen)
    print(f"{watchers} clients, {seen[0]} events each, all in {time.monotonic() - begun:.1f} s")
    print(f"  memory: {alone.memory:.0f} MiB before, {waiting.memory:.0f} waiting, {after.memory:.0f} after the "
          f"events: {(waiting.memory - alone.memory) / watchers * 1024:.0f} KiB a client")  # fmt: skip
    print(f"  processor: {(waiting.cpu - alone.cpu) / watchers * 1000:.2f} ms to come, "
          f"{(idled.cpu - waiting.cpu) / idle * 100:.1f}% of one while nothing happens, "
          f"{(after.cpu - idled.cpu) / events * 1e6:.0f} µs an event and client")  # fmt: skip


async def _sleepers(url: str, watchers: int, incidents: int) -> None:
    async with _scene(url, incidents) as scene:
        asleep = await scene.watch(watchers)
        (awake,) = await scene.watch(1)
        waiting = scene.usage()
        scene.go_on()
        events = await _count_to_the_end(*awake)
        after = scene.usage()
        for _, writer in asleep:
            writer.transport.abort()
    grown = (after.memory - waiting.memory) / watchers * 1024
    print(f"{watchers} clients that read nothing of {events} events: {grown:.0f} KiB more for each in the service")


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
            for _, writer in await scene.watch(1):
                writer.close()
            yield scene


async def _count_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """How many events came after the first, in order, until the stream's last chunk."""
    rest = await reader.readline()  # of the first event's id
    assert rest.endswith(b":1\n"), rest
    last = 1
    while not (line := await reader.readline()).startswith(b"0\r\n"):
        if line.startswith(b"id: "):
            assert int(line.rpartition(b":")[2]) == last + 1
            last += 1
    writer.close()
    return last - 1
