"""Many clients on one run: each gets every event in order, and one that reads nothing delays nobody."""

import asyncio
import re

import pytest

from integrations_api.sync import stream
from tests.support.long import FULL
from tests.support.served import Served, served
from tests.support.syncing import PATIENCE, bench

pytestmark = pytest.mark.anyio

WATCHERS = 1000 if FULL else 100


async def _open(api: Served, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = api.url.partition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    token = api.client.headers["Authorization"]
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def _ids(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[int]:
    """The numbers of all events, until the stream's last chunk."""
    seen: list[int] = []
    try:
        while not (line := await reader.readline()).startswith(b"0\r\n"):
            if found := re.match(rb"id: [0-9a-f-]+:(\d+)", line):
                seen.append(int(found[1]))
    finally:
        writer.close()
    return seen


async def test_every_watcher_gets_every_event_in_order(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 3600.0)
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(300)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        run_id = await b.start(integration)
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        path = f"/integrations/runs/{run_id}/events"
        sleepers = [await _open(api, path)]
        watchers = [await _open(api, path) for _ in range(WATCHERS)]

        b.source.gate.set()
        async with asyncio.timeout(PATIENCE):
            seen = await asyncio.gather(*(_ids(*watcher) for watcher in watchers))

        assert seen == [list(range(1, 64))] * WATCHERS
        for _, writer in sleepers:
            writer.close()


async def test_a_client_that_reads_nothing_delays_nobody(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations_api.sync.stream.WINDOW", 50)
    async with bench(database_url, sync_batch_size=1, streams_per_user=2) as b, served(b) as api:
        b.source.add(*(f"INC{i:05d}" + "x" * 200 for i in range(2000)))
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        run_id = await b.start(integration)
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        path = f"/integrations/runs/{run_id}/events"
        asleep = await _open(api, path)
        awake = await _open(api, path)
        for reader, _ in (asleep, awake):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        refused = [await api.client.get(path), await api.client.post(f"/integrations/sync/{integration}")]

        b.source.gate.set()
        async with asyncio.timeout(PATIENCE):
            seen = await _ids(*awake)
            # What it left unread waited for it: in the socket, and then in the database.
            late = await _ids(*asleep)

        assert seen == late == list(range(1, 2005))
        assert (await api.client.get(path)).status_code == 200  # They have ended.
    assert [answer.status_code for answer in refused] == [429, 200]
    assert all("You have 2 event streams open here, as many as STREAMS_PER_USER" in answer.text for answer in refused)
