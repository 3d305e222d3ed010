"""A small forward proxy on loopback: CONNECT and absolute-form, with names of its own and a password if told so."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_OWN = ("proxy-authorization:", "proxy-connection:")


@dataclass
class ForwardProxy:
    """Where it listens, whom it connects to, and the heads it got."""

    names: Mapping[str, int]
    """By `host:port`, as it is asked for: the port of loopback that is behind it. Others are a 502."""
    credentials: str | None = None
    refuse: bytes | None = None
    """An answer to whatever is asked; empty: none at all, with the connection left open."""
    port: int = 0
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    _served: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = field(default_factory=dict)

    async def hang_up(self) -> None:
        """Ends every connection, and waits until nothing of them is left."""
        for writer in self._served.values():
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._served if task))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._served[asyncio.current_task()] = writer
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if not first.isalpha():  # TLS, where none is spoken
            writer.write(refusal("400 Bad Request"))
            await writer.drain()
            return
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        method, asked, _ = head.split(" ", 2)
        at = asked if method == "CONNECT" else asked.removeprefix("http://").partition("/")[0]
        at = at if ":" in at else f"{at}:80"
        if self.refuse == b"":
            await reader.read()
        elif (refused := self._refusal(head, at)) is not None:
            writer.write(refused)
            await writer.drain()
        else:
            await self._pass_on(head, self.names[at], reader, writer)

    def _refusal(self, head: str, at: str) -> bytes | None:
        if self.refuse is not None:
            return self.refuse
        if self.credentials is not None:
            proof = base64.b64encode(self.credentials.encode()).decode()
            if f"Proxy-Authorization: Basic {proof}\r\n" not in head:
                return refusal("407 Proxy Authentication Required")
        return None if at in self.names else refusal("502 Bad Gateway")

    async def _pass_on(self, head: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection("127.0.0.1", port)
        if head.startswith("CONNECT "):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            target_writer.write(_in_origin_form(head).encode("latin-1"))
        pipes = [
            asyncio.create_task(_pipe(reader, target_writer)),
            asyncio.create_task(_pipe(target_reader, writer)),
        ]
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in pipes:
                pipe.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)
            target_writer.close()
            with suppress(ConnectionError):
                await target_writer.wait_closed()


def refusal(status: str) -> bytes:
    """An answer of the proxy's own, after which it closes."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _in_origin_form(head: str) -> str:
    """The request as the target gets it: without scheme and host, and without what was for the proxy."""
    first, *lines = head.split("\r\n")
    method, url, version = first.split(" ")
    path = "/" + url.removeprefix("http://").partition("/")[2]
    kept = [line for line in lines if not line.lower().startswith(_OWN)]
    return "\r\n".join([f"{method} {path} {version}", *kept])


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def forward_proxy(
    names: Mapping[str, int] | None = None,
    *,
    credentials: str | None = None,
    refuse: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[ForwardProxy]:
    """Listens on a free port of loopback; by https where `tls` is given."""
    state = ForwardProxy(names or {}, credentials, refuse)
    listener = await asyncio.start_server(state.serve, "127.0.0.1", 0, ssl=tls)
    state.port = listener.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        listener.close()
        await state.hang_up()
