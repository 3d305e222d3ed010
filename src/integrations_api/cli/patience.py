"""How long a client may take to say what it wants, in how many pieces, and how long to take what it is answered."""

import asyncio
import re

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 60.0
"""Seconds for a whole request, head and body; a megabyte in that time is 17 kB a second. And as many in which a client
must take something of its answer."""
FREE_CHUNKS = 2000
SMALLEST_CHUNK = 200
"""Bytes that chunks must have on average once there are more than `FREE_CHUNKS`: each costs as much as a short request,
and a megabyte of single bytes kept everybody waiting for twelve seconds."""
TOO_MANY_CHUNKS = "The body comes in too many chunks: send larger ones, or the whole with its Content-Length"

_ORIGIN = re.compile(rb"https?://[^/?]*", re.IGNORECASE)


class BoundedProtocol(H11Protocol):
    """uvicorn's own, which waits without end for a request that was begun, or was not, and for an answer to be taken.

    Each such connection takes a file descriptor, of which a process may have a thousand: a stranger needs no more. How
    long an answer takes is not bounded here, nor how long a connection stays idle after one: uvicorn does that.
    """

    _connection: "_Connection"
    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once; the time begins."""
        super().connection_made(transport)
        self.conn = self._connection = _Connection(h11.SERVER, self.conn._max_incomplete_event_size)
        transport.set_write_buffer_limits(high=0)  # So that we hear of anything that is not taken.
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Called for whatever has come; the time goes on until that makes a request."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Called for what is no proper request; once an answer has begun, that cannot be said any more."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(TOO_MANY_CHUNKS if self._connection.has_too_many_chunks else msg)
        else:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Called where a client also offers another protocol, as Java's does with each request: it is answered by ours.
        uvicorn would advise the operator, each time, to install a library for WebSockets."""

    def pause_writing(self) -> None:
        """Called when something is left that the client does not take at once."""
        super().pause_writing()
        self._expect_taking()

    def resume_writing(self) -> None:
        """Called when nothing is left."""
        super().resume_writing()
        self._expect_nothing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once."""
        self._forget()
        self._expect_nothing()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete):
            self._forget()
        elif self._late is None:
            self._late = self.loop.call_later(PATIENCE, self._give_up)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        is_answered = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not is_answered:  # Who is being answered may keep what is left of his body.
            self.transport.close()

    def _expect_taking(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(PATIENCE, self._look_whether_taken, left)

    def _look_whether_taken(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._expect_taking()
        else:
            self.transport.abort()

    def _expect_nothing(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None


class _Connection(h11.Connection):
    """h11's, which takes a body in as many chunks as it comes in, and hands on a request's target as it is."""

    _chunks = _bytes = 0

    @property
    def has_too_many_chunks(self) -> bool:
        """Whether the body came in very many very small chunks so far."""
        return self._chunks > FREE_CHUNKS + self._bytes / SMALLEST_CHUNK

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Raises `RemoteProtocolError`, also for such a body."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
            return _without_origin(event)
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self.has_too_many_chunks:
                raise h11.RemoteProtocolError(TOO_MANY_CHUNKS)
        return event


def _without_origin(request: h11.Request) -> h11.Request:
    """As it would be asked for directly: a proxy may name the whole address (RFC 9112, 3.2.2)."""
    found = _ORIGIN.match(request.target)
    if found is None:
        return request
    target = request.target[found.end() :]
    return h11.Request(
        method=request.method,
        headers=request.headers,
        target=target if target.startswith(b"/") else b"/" + target,
        http_version=request.http_version,
    )
