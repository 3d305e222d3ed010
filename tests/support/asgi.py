"""One request to an application in this process, however odd; streams are read for a few chunks, then hung up on."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from starlette.types import ASGIApp, Message, Scope

PATIENCE = 30.0
"""Seconds; far above what an answer takes, so that reaching it is a failure of its own."""


@dataclass
class Answer:
    """What came back, as bytes."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    was_cut: bool = False
    """The client hung up on a stream that went on."""

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


async def send(
    app: ASGIApp,
    method: str,
    url: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    most_chunks: int = 20,
) -> Answer:
    """Asks the application; `url` is encoded as on the wire. Raises `TimeoutError` for an answer that never ends."""
    answer, left = Answer(), asyncio.Event()
    sent = [{"type": "http.request", "body": body, "more_body": False}]
    chunks = 0

    async def receive() -> Message:
        if sent:
            return sent.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def take(message: Message) -> None:
        nonlocal chunks
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in message["headers"]]
            return
        if left.is_set():
            return
        answer.body += message.get("body", b"")
        chunks += 1
        if message.get("more_body", False) and chunks >= most_chunks:
            answer.was_cut = True
            left.set()

    async with asyncio.timeout(PATIENCE):
        await app(_scope(method, url, headers), receive, take)
    return answer


def _scope(method: str, url: str, headers: Sequence[tuple[str, str]]) -> Scope:
    parts = urlsplit(url)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        # As uvicorn does: what is no UTF-8 cannot stand in a path.
        "path": unquote_to_bytes(parts.path).decode("utf-8", "replace"),
        "raw_path": parts.path.encode("ascii"),
        "query_string": parts.query.encode("ascii"),
        "root_path": "",
        "headers": [(b"host", b"test"), *((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers)],
        "client": ("192.0.2.7", 50000),
        "server": ("test", 80),
    }
