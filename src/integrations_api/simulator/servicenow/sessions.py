"""HTTP sessions: whoever sends the session cookie back waits for the session's other requests."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct, field

QUEUE_DEPTH = 10


class Session(Struct):
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Sessions:
    """Sessions by the value of JSESSIONID."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def find(self, session_id: str | None) -> Session | None:
        return self._sessions.get(session_id or "")

    def cookies(self) -> list[str]:
        """The Set-Cookie headers of a new session."""
        session_id = secrets.token_hex(16).upper()
        self._sessions[session_id] = Session()
        if len(self._sessions) > 1_000:
            self._sessions.pop(next(iter(self._sessions)))
        return [
            f"JSESSIONID={session_id}; Path=/; HttpOnly",
            f"glide_user_route=glide.{secrets.token_hex(16)}; Path=/; HttpOnly",
            f"glide_session_store={secrets.token_hex(16).upper()}; Path=/; HttpOnly",
        ]

    @asynccontextmanager
    async def turn(self, session: Session | None) -> AsyncIterator[bool]:
        """Waits for the session's turn.

        Yields False at once when the session's queue is full and the request is to be dropped.
        """
        if session is None:
            yield True
            return
        if session.waiting > QUEUE_DEPTH:
            yield False
            return
        session.waiting += 1
        try:
            async with session.lock:
                yield True
        finally:
            session.waiting -= 1
