"""A network that forgets connections: what was open goes silent for good, and nobody is told; new ones are fine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit


class Network:
    """Between a client and the server of a database."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._forgotten = 0
        self._open: set[asyncio.Task[None]] = set()
        self.url = ""

    def forget(self) -> None:
        """From now on nothing comes through what is open."""
        self._forgotten += 1

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until both sides have ended it or all are ended."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        known = self._forgotten
        there, away = await self._to_the_server()
        try:
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(self._pump(reader, away, known), self._pump(there, writer, known))
        finally:
            writer.transport.abort()
            away.transport.abort()
            self._open.discard(task)

    async def end(self) -> None:
        """Ends what is still open."""
        left = set(self._open)
        for task in left:
            task.cancel()
        await asyncio.gather(*left)

    async def _to_the_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._parts.hostname:
            return await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)
        folder = parse_qs(self._parts.query)["host"][0]
        return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, known: int) -> None:
        while said := await reader.read(65536):
            if known == self._forgotten:
                writer.write(said)
                await writer.drain()
        if known == self._forgotten:
            writer.close()

    def address(self, port: int) -> str:
        user = self._parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{port}{self._parts.path}"


@asynccontextmanager
async def forgetful_network(url: str) -> AsyncIterator[Network]:
    """The network, and by its `url` the database behind it."""
    network = Network(url)
    server = await asyncio.start_server(network.carry, "127.0.0.1", 0)
    network.url = network.address(server.sockets[0].getsockname()[1])
    try:
        yield network
    finally:
        server.close()
        await network.end()
