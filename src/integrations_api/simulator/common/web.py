"""The web application of a simulated source: each request becomes a call, meets the faults, and is logged."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Generic

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .clock import stamp
from .control import Control
from .faults import C, FaultSet, W
from .messages import Answer, RefusedError
from .reply import TRANSPORT, Reply, transport_of
from .request_log import RequestLog

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class WebSimulator(ABC, Generic[W, C]):
    """A source, its faults and its request log behind one ASGI application, `asgi`.

    Subclasses say what a request is (`call_of`), what the answer is (`served`) and what all answers carry (`dressed`).
    """

    def __init__(self, instance: W, faults: FaultSet, *, routes: Sequence[str], control: Control | None) -> None:
        self.instance = instance
        self.faults = faults
        self.log = control.log if control else RequestLog()
        found: list[BaseRoute] = [Route(path, self._handle, methods=METHODS) for path in routes]
        if control:
            found += control.routes()
        found.append(Route("/{rest:path}", self._handle, methods=METHODS))
        self.asgi: ASGIApp = _WithTransport(Starlette(routes=found))

    @abstractmethod
    def call_of(self, request: Request, *, number: int, body: bytes) -> C:
        """The request as the source sees it; `request.path_params` are those of the route."""

    @abstractmethod
    def served(self, call: C) -> Answer:
        """The right answer, made under the source's lock. Raises RefusedError."""

    def dressed(self, call: C, answer: Answer) -> Answer:
        """Adds the headers that every answer carries. The date is the source's, not the machine's."""
        answer.headers.setdefault("Date", formatdate(self.instance.clock.now(), usegmt=True))
        return answer

    @asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[bool]:
        """Held while a request is answered; False drops it with 202."""
        yield True

    def cookies(self, request: Request) -> list[str]:
        """The Set-Cookie headers of the answer."""
        return []

    async def _handle(self, request: Request) -> Response:
        call = self.call_of(request, number=self.log.next_number(), body=await request.body())
        entry = self.log.begin(call, stamp(self.instance.clock.now()))

        async def when_done() -> None:
            self.log.end()
            for fault in self.faults.active:
                await fault.sent(call, self.instance)

        try:
            async with self.turn(request) as is_served:
                answer = await self._unless_gone(request, call) if is_served else Answer(202)
        except BaseException:
            await when_done()
            raise
        entry.status, entry.rows, entry.bytes, entry.auth = answer.status, call.rows, len(answer.body), call.auth_kind
        return Reply(answer, self.cookies(request), when_done)

    async def _unless_gone(self, request: Request, call: C) -> Answer:
        """The answer. When a fault holds it back and the client leaves, an empty one that nobody will read."""
        if not self.faults.active:
            return await self._answer(call)
        answering = asyncio.ensure_future(self._answer(call))
        leaving = asyncio.ensure_future(_client_gone(request))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return answering.result() if answering.done() else Answer(499)
        finally:
            answering.cancel()
            leaving.cancel()

    async def _answer(self, call: C) -> Answer:
        for fault in self.faults.active:
            early = await fault.before(call, self.instance)
            if early is not None:
                return self.dressed(call, early)
        try:
            with self.instance.lock:
                answer = self.served(call)
        except RefusedError as refused:
            answer = refused.answer
        for fault in self.faults.active:
            answer = fault.after(call, answer, self.instance)
        return self.dressed(call, answer)


async def _client_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _WithTransport:
    """Hands the connection on in the scope, for faults that need it; Starlette wraps `send` on the way down."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[TRANSPORT] = transport_of(send)
        await self.app(scope, receive, send)
