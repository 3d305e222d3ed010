"""What uvicorn makes of requests before the application sees them."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from integrations_api.cli.quiet_server import QuietServer, config_for
from tests.support.applications import bare_app, settings_for
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = QuietServer(config_for(bare_app(), settings_for("postgresql://nobody@127.0.0.1:1/nothing")))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()
        server.should_exit = True
        await serving


async def answer_to(address: tuple[str, int], *pieces: bytes) -> tuple[int, dict[str, object]]:
    """Status and body of the answer to a request that comes in pieces, each of which is read before the next comes."""
    reader, writer = await asyncio.open_connection(*address)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        answered = await reader.read()
    writer.close()
    head, _, body = answered.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    ("query", "cookie", "status"),
    [(0, 30_000, 200), (16_000, 14_000, 200), (0, 40_000, 431), (20_000, 0, 414)],
    ids=["headers that fit", "query and headers that fit", "headers", "query"],
)
async def test_a_head_that_comes_in_pieces_is_read_as_one_that_comes_at_once(
    address: tuple[str, int], query: int, cookie: int, status: int
) -> None:
    head = f"GET /healthz?{'q' * query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {'c' * cookie}".encode()

    answered, body = await answer_to(address, head[:-100], head[-100:], b"\r\n\r\n")

    assert answered == status
    assert body["success"] is (status == 200)


async def test_a_client_that_offers_another_protocol_is_answered_without_a_word_in_the_log(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"

    with caplog.at_level(logging.WARNING):
        answered, _ = await answer_to(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n\r\n")

    assert answered == 200
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
