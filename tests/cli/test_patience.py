"""A client that does not say what it wants, or takes nothing of its answer, does not keep its connection."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi.responses import StreamingResponse
from starlette.responses import Response
from uvicorn.server import ServerState

from integrations_api.api.routes import PUBLIC, Router
from integrations_api.cli import patience
from integrations_api.cli.patience import FREE_CHUNKS, SMALLEST_CHUNK, BoundedProtocol
from integrations_api.cli.quiet_server import QuietServer, config_for
from tests.support.applications import bare_app, settings_for
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

SHORT = 0.3
LARGE = 8_000_000
"""Bytes: more than the system keeps of an answer that is not taken."""
BEGUN = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nuser",
    "a second request's half head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /",
}
CHUNKED = b"Host: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


@dataclass
class Serving:
    """A server and where it listens."""

    server: QuietServer
    address: tuple[str, int]

    async def has_no_connection(self) -> None:
        """Returns when all are closed."""
        async with asyncio.timeout(PATIENCE):
            while self.server.server_state.connections:  # noqa: ASYNC110 - only the server knows
                await asyncio.sleep(0.05)


@pytest.fixture
async def serving(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    monkeypatch.setattr(patience, "PATIENCE", SHORT)
    app, router = bare_app(), Router()

    @router.get("/slowly", dependencies=[PUBLIC])
    async def slowly() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"begin", b"end"):
                yield part
                await asyncio.sleep(2 * SHORT)

        return StreamingResponse(parts())

    @router.get("/large", dependencies=[PUBLIC])
    async def large() -> Response:
        return Response(bytes(LARGE))

    @router.post("/open", dependencies=[PUBLIC])
    async def open_route(body: dict[str, Any]) -> dict[str, Any]:
        return {"success": True, "got": body}

    app.include_router(router)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = QuietServer(config_for(app, settings_for("postgresql://nobody@127.0.0.1:1/nothing")))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield Serving(server, listener.getsockname())
        server.should_exit = True
        await running


@pytest.fixture
def address(serving: Serving) -> tuple[str, int]:
    return serving.address


@pytest.fixture
def in_time(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """Where requests of any length have time to come."""
    monkeypatch.setattr(patience, "PATIENCE", PATIENCE)
    return serving.address


async def said_to(address: tuple[str, int], sent: bytes) -> bytes:
    """All that is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    async with asyncio.timeout(PATIENCE):
        answered = await reader.read()
    writer.close()
    return answered


@pytest.mark.parametrize(
    ("target", "status"),
    [(b"http://x.example.com:8000/slowly?a=b", b"200"), (b"HTTP://x", b"404"), (b"http://x?to=/slowly", b"404")],
)
async def test_what_a_proxy_asks_for_by_its_whole_address_is_answered(
    address: tuple[str, int], target: bytes, status: bytes
) -> None:
    """A server must take it so (RFC 9112, 3.2.2)."""
    answered = await said_to(address, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answered.split(maxsplit=2)[1] == status


@pytest.mark.parametrize("begun", BEGUN)
async def test_what_is_only_begun_is_waited_for_and_then_closed(address: tuple[str, int], begun: str) -> None:
    answered = await said_to(address, BEGUN[begun])

    assert answered.startswith(b"HTTP/1.1 200" if "second" in begun else b"")


@pytest.mark.parametrize("left", [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_an_answer_may_take_longer(address: tuple[str, int], left: bytes) -> None:
    answered = await said_to(address, b"GET /slowly HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + left)

    assert answered.endswith(b"3\r\nend\r\n0\r\n\r\n")


@pytest.mark.parametrize("requests", [1, 3])
async def test_who_takes_nothing_of_an_answer_is_hung_up_on(serving: Serving, requests: int) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, serving.address)
        client.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
        async with asyncio.timeout(PATIENCE):
            while not serving.server.server_state.connections:  # noqa: ASYNC110 - only the server knows
                await asyncio.sleep(0.01)

        await serving.has_no_connection()


@dataclass
class Hand:
    """A loop whose clock is moved by hand."""

    waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)

    def call_later(self, _: float, call: Callable[..., None], *args: Any) -> "Hand":
        self.waiting.append((call, args))
        return self

    def cancel(self) -> None:
        self.waiting.clear()

    def wait(self) -> None:
        (call, args), self.waiting = self.waiting[-1], []
        call(*args)


class Untaken(asyncio.Transport):
    """A connection whose client takes what the test says."""

    left = 100
    is_cut_off = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.is_cut_off = True


async def test_who_takes_a_little_of_it_may_go_on() -> None:
    app = bare_app()
    protocol = BoundedProtocol(config_for(app, settings_for("postgresql://x@127.0.0.1:1/x")), ServerState(), {})
    protocol.loop = hand = Hand()  # type: ignore[assignment]
    transport = Untaken()
    protocol.connection_made(transport)
    hand.cancel()  # The time for a request.

    protocol.pause_writing()
    transport.left -= 1
    hand.wait()
    assert (transport.is_cut_off, len(hand.waiting)) == (False, 1)
    protocol.resume_writing()
    assert not hand.waiting
    protocol.pause_writing()
    hand.wait()
    assert transport.is_cut_off


def in_chunks(path: str, body: bytes, *, size: int) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"POST %b HTTP/1.1\r\nConnection: close\r\n" % path.encode() + CHUNKED + framed


@pytest.mark.parametrize(
    ("length", "size"), [(FREE_CHUNKS, 1), (900_000, SMALLEST_CHUNK), (900_000, 65_536)], ids=["few", "small", "large"]
)
async def test_a_body_may_come_in_chunks(in_time: tuple[str, int], length: int, size: int) -> None:
    body = b"{" + b" " * (length - 2) + b"}"

    answered = await said_to(in_time, b"".join([in_chunks("/open", body, size=size), END]))

    assert answered.startswith(b"HTTP/1.1 200"), answered[:100]


async def test_a_stranger_may_not_send_a_megabyte_byte_by_byte(in_time: tuple[str, int]) -> None:
    sent = in_chunks("/open", b" " * (2 * FREE_CHUNKS), size=1)

    answered = await said_to(in_time, sent)

    assert answered.startswith(b"HTTP/1.1 400")
    assert patience.TOO_MANY_CHUNKS.encode() in answered


@pytest.mark.parametrize("more", [b"1\r\n \r\n" * 2 * FREE_CHUNKS, b"no chunk\r\n"], ids=["chunks", "no chunk"])
async def test_what_cannot_be_read_after_an_answer_closes_the_connection(
    in_time: tuple[str, int], more: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    reader, writer = await asyncio.open_connection(*in_time)
    writer.write(b"POST /healthz HTTP/1.1\r\n" + CHUNKED)
    async with asyncio.timeout(PATIENCE):
        answered = await reader.readuntil(b"}")
        writer.write(more)
        rest = await reader.read()
    writer.close()

    assert answered.startswith(b"HTTP/1.1 405")
    assert rest == b""
    assert not caplog.records
