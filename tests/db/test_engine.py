"""What stands behind the question mark of DATABASE_URL means what it does to PostgreSQL's own programs."""

import asyncio
import struct

import pytest
from sqlalchemy import text

from integrations_api.db.engine import cause_of, create_engine
from integrations_api.db.migrations import upgrade

pytestmark = pytest.mark.anyio

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def _with(url: str, parameters: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{parameters}"


@pytest.fixture(params=["engine", "migrations"])
def reach(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def _reach(reach: str, url: str) -> None:
    """Opens a connection as the service does, or as `migrate` does."""
    if reach == "migrations":
        await asyncio.to_thread(upgrade, url)
        return
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()


async def test_sslmode_may_be_named(database_url: str, reach: str) -> None:
    await _reach(reach, _with(database_url, "sslmode=prefer"))


async def test_sslmode_require_says_nothing_in_the_clear(reach: str) -> None:
    heard = bytearray()
    ended = asyncio.Event()

    async def answer_without_encryption(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readexactly(len(SSL_REQUEST)))
        writer.write(b"N")
        heard.extend(await reader.read())
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(answer_without_encryption, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Exception) as refused:  # The driver's own, or what SQLAlchemy makes of it
            await _reach(reach, f"postgresql://ada:canary-7361@127.0.0.1:{port}/x?sslmode=require")
        await asyncio.wait_for(ended.wait(), 10)

    assert "rejected SSL upgrade" in str(cause_of(refused.value))
    assert bytes(heard) == SSL_REQUEST
