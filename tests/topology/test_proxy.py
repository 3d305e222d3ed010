"""What nginx does with the project's configuration, seen from replicas that are told how to behave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.processes import PATIENCE
from tests.support.proxies import Proxy, check_configuration, running_proxy

pytestmark = pytest.mark.anyio
SYNC = "/integrations/sync/fda25054-1102-49e1-bc07-fc40746792e6"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Replica:
    """A server that keeps the head of each request. It answers, or closes on whoever asks when it `dies`.

    An event stream that is not `chunked` ends with its connection.
    """

    dies: bool = False
    chunked: bool = True
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not reader.at_eof():
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                if self.dies:
                    return
                await self._answer(writer)
                if "Connection: close" in self.heads[-1]:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        if "/sync/" not in self.heads[-1]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            return
        head = _HEAD if self.chunked else _HEAD.replace(b"Transfer-Encoding: chunked", b"Connection: close")
        framed = _chunk if self.chunked else str.encode
        writer.write(head + framed("event: progress\ndata: {}\n\n"))
        await self.go_on.wait()
        writer.write(framed("event: complete\ndata: {}\n\n") + (b"0\r\n\r\n" if self.chunked else b""))
        if not self.chunked:
            writer.close()


@dataclass
class Scene:
    """Two replicas, nginx before them, and somebody who asks."""

    first: Replica
    second: Replica
    proxy: Proxy
    client: httpx.AsyncClient

    @property
    def heads(self) -> list[str]:
        return self.first.heads + self.second.heads


def _chunk(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


@asynccontextmanager
async def scene(
    nginx: str, home: Path, *, first: Replica | None = None, second: Replica | None = None
) -> AsyncIterator[Scene]:
    replicas = (first or Replica(), second or Replica())
    async with AsyncExitStack() as stack:
        for replica in replicas:
            server = await asyncio.start_server(replica.serve, "127.0.0.1", 0)
            replica.port = server.sockets[0].getsockname()[1]
            stack.callback(server.close)
        proxy = stack.enter_context(running_proxy(home, replicas=[one.port for one in replicas], program=nginx))
        client = httpx.AsyncClient(base_url=proxy.url, timeout=PATIENCE, trust_env=False)
        yield Scene(*replicas, proxy=proxy, client=await stack.enter_async_context(client))


async def _asked_twice(s: Scene, method: str) -> list[httpx.Response]:
    """Each replica's turn has then come."""
    return [await s.client.request(method, "/integrations") for _ in range(2)]


async def test_nginx_accepts_the_configuration(nginx: str, home: Path) -> None:
    assert check_configuration(home, nginx).endswith("test is successful\nexit code 0")


async def test_a_post_whose_replica_dies_is_sent_to_no_other(nginx: str, home: Path) -> None:
    async with scene(nginx, home, first=Replica(dies=True)) as s:
        answers = await _asked_twice(s, "POST")

    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert [len(s.first.heads), len(s.second.heads)] == [1, 1]
    (refused,) = [answer for answer in answers if answer.status_code == 503]
    assert refused.json() == {"success": False, "message": "The service does not answer; try again soon"}
    assert refused.headers["retry-after"] == "2"


async def test_a_get_whose_replica_dies_is_answered_by_the_other(nginx: str, home: Path) -> None:
    async with scene(nginx, home, first=Replica(dies=True)) as s:
        answers = await _asked_twice(s, "GET")

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [len(s.first.heads), len(s.second.heads)] == [1, 2]


async def test_a_post_goes_past_a_replica_that_does_not_listen(nginx: str, home: Path) -> None:
    async with scene(nginx, home) as s:
        with running_proxy(_below(home), replicas=[1, s.second.port], program=nginx) as proxy:
            answers = [await s.client.post(f"{proxy.url}/integrations") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(s.second.heads) == 2


def _below(home: Path) -> Path:
    folder = home / "another"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_event_leaves_as_it_comes_while_the_stream_goes_on(nginx: str, home: Path, chunked: bool) -> None:
    first, second = Replica(chunked=chunked), Replica(chunked=chunked)
    async with (
        scene(nginx, home, first=first, second=second) as s,
        asyncio.timeout(PATIENCE),
        s.client.stream("POST", SYNC) as stream,
    ):
        parts = stream.aiter_text()
        begun = await anext(parts)
        first.go_on.set()
        second.go_on.set()
        rest = "".join([part async for part in parts])

    assert begun == "event: progress\ndata: {}\n\n"
    assert rest == "event: complete\ndata: {}\n\n"


async def test_a_client_that_leaves_a_stream_is_gone_for_the_replica_too(nginx: str, home: Path) -> None:
    async with scene(nginx, home) as s:
        gone = asyncio.Event()

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_HEAD + _chunk("event: progress\ndata: {}\n\n"))
            await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(tell, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with running_proxy(_below(home), replicas=[port], program=nginx) as proxy:
            async with s.client.stream("GET", f"{proxy.url}{SYNC}/events") as stream:
                await anext(stream.aiter_text())
            await asyncio.wait_for(gone.wait(), PATIENCE)
        server.close()


async def test_connections_to_the_replicas_are_used_again(nginx: str, home: Path) -> None:
    async with scene(nginx, home) as s:
        for _ in range(6):
            await s.client.get("/integrations")

    assert len(s.heads) == 6
    # One for each process of nginx that was asked, and replica, at most.
    assert s.first.connections + s.second.connections < 6


async def test_replicas_are_told_who_asks_and_can_see_what_he_made_up(nginx: str, home: Path) -> None:
    async with scene(nginx, home) as s:
        await s.client.get("/integrations", headers={"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"})

    (head,) = s.heads
    assert "X-Forwarded-For: 198.51.100.7, 127.0.0.1\r\n" in head
    assert "X-Forwarded-Proto: http\r\n" in head
    assert f"Host: {s.proxy.url.removeprefix('http://')}\r\n" in head


async def test_what_nginx_refuses_itself_is_said_in_the_envelope(nginx: str, home: Path) -> None:
    async with scene(nginx, home) as s:
        answers = [
            await s.client.post("/integrations", content=b"x" * 1_000_001),
            await s.client.get(f"/integrations?q={'x' * 30_000}"),
            await s.client.get("/integrations", headers={"Cookie": "x" * 30_000}),
            await s.client.get("/metrics"),
        ]

    assert [answer.status_code for answer in answers] == [413, 414, 431, 404]
    assert answers[0].json() == {"success": False, "message": "The request body is larger than 1000000 bytes"}
    assert all(answer.json()["success"] is False for answer in answers)
    assert s.heads == []


async def test_the_log_names_path_and_replica_and_never_a_query(nginx: str, home: Path) -> None:
    async with scene(nginx, home, first=Replica(dies=True)) as s:
        for _ in range(2):
            await s.client.get("/integrations?ticket=iat_canary")

    assert {call["path"] for call in s.proxy.calls} == {"/integrations"}
    assert f"127.0.0.1:{s.first.port}, 127.0.0.1:{s.second.port}" in {call["replica"] for call in s.proxy.calls}
    assert "iat_canary" not in s.proxy.said
