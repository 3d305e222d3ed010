"""Bounds on what a request may bring: its query, its headers, and its body, declared or chunked."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from integrations_api.api.envelope import error_response

MAX_QUERY_BYTES = 16_384
MAX_HEADER_BYTES = 32_768
"""All names and values together; ours need a few hundred."""
MAX_HEADERS = 100
_DRAIN_BYTES = 32_000_000
_DRAIN_SECONDS = 5.0


class HeadLimitMiddleware:
    """Answers 414 for a query, and 431 for headers, that are longer than anything we could want."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _head_problem(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await error_response(*refusal)(scope, receive, send)


def _head_problem(scope: Scope) -> tuple[int, str] | None:
    if len(scope.get("query_string", b"")) > MAX_QUERY_BYTES:
        return 414, f"The query is longer than {MAX_QUERY_BYTES} bytes"
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS:
        return 431, f"The request has more than {MAX_HEADERS} headers"
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return 431, f"The headers are longer than {MAX_HEADER_BYTES} bytes"
    return None


class BodyLimitMiddleware:
    """Answers 413 for a body of more than `max_bytes`, whether its length was declared or not."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = _declared_length(scope)
        if declared > self._max_bytes:
            if declared <= _DRAIN_BYTES:
                await _drain(receive)
            response = error_response(413, _words(self._max_bytes))
            await response(scope, receive, send)
            return
        await self._app(scope, *_counted(receive, send, self._max_bytes))


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


def _declared_length(scope: Scope) -> int:
    value = Headers(scope=scope).get("content-length", "0")
    return int(value) if value.isascii() and value.isdigit() else 0
