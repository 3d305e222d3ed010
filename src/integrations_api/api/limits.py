"""Bounds on what a request may bring: its query, its headers, and its body, declared or chunked."""

import asyncio
from collections.abc import Iterable
from typing import Self

from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from integrations_api.api.refusals import error_response

MAX_QUERY_BYTES = 16_384
MAX_HEADER_BYTES = 32_768
"""All names and values together; ours need a few hundred."""
MAX_HEADERS = 100
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})
"""Methods whose requests have a body only where a header says so."""
_DRAIN_BYTES = 32_000_000
_DRAIN_SECONDS = 5.0


class _Head(Struct):
    """What the headers of a request say that bounds are set for."""

    size: int = 0
    declared: int = 0
    """The body's length; zero where none is declared."""
    is_chunked: bool = False

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> Self:
        head = cls()
        for name, value in headers:
            head.size += len(name) + len(value)
            if name == b"content-length" and value.isdigit():
                head.declared = int(value)
            elif name == b"transfer-encoding":
                head.is_chunked = True
        return head


class LimitsMiddleware:
    """Answers 414 for a query, 431 for headers, and 413 for a body that are longer than anything we could want.

    A body whose length is declared ends there: the server sees to it. Any other is counted as it comes.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = _Head.of(scope["headers"])
        refusal = _refusal(scope, head, self._max_bytes)
        if refusal is not None:
            if refusal[0] == 413 and head.declared <= _DRAIN_BYTES:
                await _drain(receive)
            await error_response(*refusal)(scope, receive, send)
        elif head.is_chunked or not (head.declared or scope["method"] in _WITHOUT_BODY):
            await self._app(scope, *_counted(receive, send, self._max_bytes))
        else:
            await self._app(scope, receive, send)


def _refusal(scope: Scope, head: _Head, max_body_bytes: int) -> tuple[int, str] | None:
    if len(scope.get("query_string", b"")) > MAX_QUERY_BYTES:
        return 414, f"The query is longer than {MAX_QUERY_BYTES} bytes"
    if len(scope["headers"]) > MAX_HEADERS:
        return 431, f"The request has more than {MAX_HEADERS} headers"
    if head.size > MAX_HEADER_BYTES:
        return 431, f"The headers are longer than {MAX_HEADER_BYTES} bytes"
    return (413, _words(max_body_bytes)) if head.declared > max_body_bytes else None


def _counted(receive: Receive, send: Send, max_bytes: int) -> tuple[Receive, Send]:
    seen = 0
    answering = False

    async def counting_receive() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] != "http.request":
            return message
        seen += len(message.get("body", b""))
        if seen <= max_bytes:
            return message
        if answering:  # A stream is going out already and never asked for a body: the client is hung up on.
            return {"type": "http.disconnect"}
        if message.get("more_body", False):
            await _drain(receive)
        raise HTTPException(413, _words(max_bytes))

    async def noting_send(message: Message) -> None:
        nonlocal answering
        answering = True
        await send(message)

    return counting_receive, noting_send


async def _drain(receive: Receive) -> None:
    """Takes in the rest, within bounds: a client that is still sending when we close would see a reset, not a 413."""
    seen = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while seen < _DRAIN_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _words(max_bytes: int) -> str:
    return f"The request body is larger than {max_bytes} bytes"
