"""How long a client may take to say what it wants, and to take what it is answered."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 60.0
"""Seconds for a whole request, head and body; a megabyte in that time is 17 kB a second. And as many in which a client
must take something of its answer."""


class BoundedProtocol(H11Protocol):
    """uvicorn's own, which waits without end for a request that was begun, or was not, and for an answer to be taken.

    Each such connection takes a file descriptor, of which a process may have a thousand: a stranger needs no more. How
    long an answer takes is not bounded here, nor how long a connection stays idle after one: uvicorn does that.
    """

    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once; the time begins."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # So that we hear of anything that is not taken.
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Called for whatever has come; the time goes on until that makes a request."""
        super().data_received(data)
        self._watch()

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
