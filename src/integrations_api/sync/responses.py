"""The answer that is a stream of events, as small as it can be: a thousand of them wait in one process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_HEADERS = {"Cache-Control": "no-store", "Connection": "keep-alive", "X-Accel-Buffering": "no"}
"""The last one tells nginx to pass on each event as it comes."""


class EventStream(Response):
    """Sends frames as they come, until they end or the client leaves; the generator is closed in either case."""

    def __init__(self, frames: AsyncGenerator[bytes, None], status_code: int = 200) -> None:
        # Not the base's: a stream has no body and no length. FastAPI reads the status from here for /openapi.json.
        self.status_code = status_code
        # Not of the class: FastAPI would describe errors of these routes as streams too.
        self.media_type = "text/event-stream"
        self.background = None
        self._frames = frames
        self.init_headers(_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request. A client that leaves ends it quietly."""
        sending = asyncio.current_task()
        assert sending is not None
        listening = asyncio.create_task(_cancel_when_gone(receive, sending))
        try:
            async with aclosing(self._frames):
                await self._send(send)
        except asyncio.CancelledError:
            if not _has_left(listening):
                raise
            sending.uncancel()
        finally:
            listening.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancel_when_gone(receive: Receive, sending: asyncio.Task[object]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()


def _has_left(listening: asyncio.Task[None]) -> bool:
    return listening.done() and not listening.cancelled() and listening.exception() is None
