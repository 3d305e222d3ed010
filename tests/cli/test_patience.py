"""A client that does not say what it wants does not keep its connection."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from fastapi.responses import StreamingResponse

from integrations_api.api.routes import PUBLIC, Router
from integrations_api.cli import patience
from integrations_api.cli.quiet_server import QuietServer, config_for
from tests.support.applications import bare_app, settings_for
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

SHORT = 0.3
BEGUN = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nuser",
    "a second request's half head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /",
}


@pytest.fixture
async def address(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    monkeypatch.setattr(patience, "PATIENCE", SHORT)
    app, router = bare_app(), Router()

    @router.get("/slowly", dependencies=[PUBLIC])
    async def slowly() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"begin", b"end"):
                yield part
                await asyncio.sleep(2 * SHORT)

        return StreamingResponse(parts())

    app.include_router(router)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = QuietServer(config_for(app, settings_for("postgresql://nobody@127.0.0.1:1/nothing")))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()
        server.should_exit = True
        await serving


async def said_to(address: tuple[str, int], sent: bytes) -> bytes:
    """All that is answered until the server closes the connection."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    async with asyncio.timeout(PATIENCE):
        answered = await reader.read()
    writer.close()
    return answered


@pytest.mark.parametrize("begun", BEGUN)
async def test_what_is_only_begun_is_waited_for_and_then_closed(address: tuple[str, int], begun: str) -> None:
    answered = await said_to(address, BEGUN[begun])

    assert answered.startswith(b"HTTP/1.1 200" if "second" in begun else b"")


@pytest.mark.parametrize("left", [b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_an_answer_may_take_longer(address: tuple[str, int], left: bytes) -> None:
    answered = await said_to(address, b"GET /slowly HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + left)

    assert answered.endswith(b"3\r\nend\r\n0\r\n\r\n")
