"""Sending an answer, in one piece or in the ways a bad network sends it."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .messages import Answer, Reset, Trickle

TRANSPORT = "simulator.transport"


def transport_of(send: Send) -> asyncio.Transport | None:
    """The connection behind an ASGI `send`: uvicorn's is a method of what holds it. None without a socket."""
    return getattr(getattr(send, "__self__", None), "transport", None)


class Reply(Response):
    """An `Answer` on its way out; `when_sent` is awaited after the last byte, also when the client has gone."""

    def __init__(self, answer: Answer, cookies: list[str], when_sent: Callable[[], Awaitable[None]]) -> None:
        super().__init__(answer.body, answer.status)
        self.answer = answer
        self.when_sent = when_sent
        headers = [(name.lower(), value) for name, value in answer.headers.items()]
        headers += [("set-cookie", cookie) for cookie in cookies]
        if not any(name == "content-length" for name, _ in headers):
            headers.append(("content-length", str(len(answer.body))))
        self.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            body = b"" if scope["method"] == "HEAD" else self.answer.body
            match self.answer.delivery:
                case Trickle() as trickle:
                    await _trickle(body, trickle, send)
                case Reset() as reset:
                    await _reset(body, reset, scope, send)
                case None:
                    await send({"type": "http.response.body", "body": body})
        finally:
            await self.when_sent()


async def _trickle(body: bytes, trickle: Trickle, send: Send) -> None:
    for start in range(0, len(body), trickle.size):
        await send({"type": "http.response.body", "body": body[start : start + trickle.size], "more_body": True})
        await asyncio.sleep(trickle.seconds)
    await send({"type": "http.response.body", "body": b""})


async def _reset(body: bytes, reset: Reset, scope: Scope, send: Send) -> None:
    await send({"type": "http.response.body", "body": body[: reset.after], "more_body": True})
    transport: asyncio.Transport | None = scope.get(TRANSPORT)
    if transport is None:
        raise ConnectionResetError("The simulator resets the connection")
    raw = transport.get_extra_info("socket")
    # Lingering for zero seconds makes the kernel send RST instead of an orderly end.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # The server notices that the connection is lost in the loop's next round; before, it would complain about us.
    await asyncio.sleep(0)
