"""The instance's web application."""

import asyncio
import secrets
from email.utils import formatdate
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .access import OAuthError
from .clock import stamp
from .control import Control
from .faults import FaultSet
from .instance import ServiceNowInstance
from .messages import Answer, Call, CallKind, RefusedError, refuse
from .reply import TRANSPORT, Reply, transport_of
from .request_log import RequestLog
from .sessions import Sessions
from .table_api import TableApi, kind_of

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class Simulator:
    """Instance, faults, sessions and request log behind one ASGI application, `asgi`."""

    def __init__(self, instance: ServiceNowInstance, *, faults: FaultSet | None = None, control: bool = False) -> None:
        self.instance = instance
        self.faults = faults or FaultSet(instance)
        self.log = RequestLog()
        self.sessions = Sessions()
        self.tables = TableApi(instance)
        routes: list[BaseRoute] = [
            Route("/api/now/table/{table}", self._handle, methods=METHODS),
            Route("/api/now/table/{table}/{sys_id}", self._handle, methods=METHODS),
            Route("/api/now/{version:str}/table/{table}", self._handle, methods=METHODS),
            Route("/api/now/{version:str}/table/{table}/{sys_id}", self._handle, methods=METHODS),
            Route("/api/now/stats/{stats}", self._handle, methods=METHODS),
            Route("/api/now/{version:str}/stats/{stats}", self._handle, methods=METHODS),
            Route("/oauth_token.do", self._handle, methods=METHODS),
        ]
        if control:
            routes += Control(self.instance, self.faults, self.log).routes()
        routes.append(Route("/{rest:path}", self._handle, methods=METHODS))
        self.asgi: ASGIApp = _WithTransport(Starlette(routes=routes))

    async def _handle(self, request: Request) -> Response:
        call = await self._call(request)
        entry = self.log.begin(call, stamp(self.instance.clock.now()))
        session = self.sessions.find(request.cookies.get("JSESSIONID"))

        async def when_done() -> None:
            self.log.end()
            for fault in self.faults.active:
                await fault.sent(call, self.instance)

        try:
            async with self.sessions.turn(session) as is_served:
                answer = await self._unless_gone(request, call) if is_served else Answer(202)
        except BaseException:
            await when_done()
            raise
        entry.status, entry.rows, entry.bytes, entry.auth = answer.status, call.rows, len(answer.body), call.auth_kind
        return Reply(answer, [] if session else self.sessions.cookies(), when_done)

    async def _unless_gone(self, request: Request, call: Call) -> Answer:
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

    async def _call(self, request: Request) -> Call:
        params = dict(request.query_params)
        path = request.path_params
        table = path.get("table") or path.get("stats") or ""
        kind = CallKind.OTHER
        if request.url.path == "/oauth_token.do":
            kind = CallKind.TOKEN
        elif "stats" in path:
            kind = CallKind.STATS
        elif "table" in path:
            kind = kind_of(table, path.get("sys_id", ""), params)
        return Call(
            number=self.log.next_number(),
            method=request.method,
            path=request.url.path,
            params=params,
            headers=request.headers,
            body=await request.body(),
            base_url=f"{request.url.scheme}://{request.url.netloc}",
            kind=kind,
            version=path.get("version", ""),
            table=table,
            sys_id=path.get("sys_id", ""),
        )

    async def _answer(self, call: Call) -> Answer:
        for fault in self.faults.active:
            early = await fault.before(call, self.instance)
            if early is not None:
                return self._dressed(call, early)
        try:
            with self.instance.lock:
                answer = self._served(call)
        except RefusedError as refused:
            answer = refused.answer
        for fault in self.faults.active:
            answer = fault.after(call, answer, self.instance)
        return self._dressed(call, answer)

    def _served(self, call: Call) -> Answer:
        """Raises RefusedError."""
        if call.kind is CallKind.TOKEN:
            return self._token(call)
        _check_accept(call)
        call.user, call.auth_kind = self.instance.door.identify(
            call.headers.get("authorization", ""), call.headers.get("x-sn-apikey", "")
        )
        if call.user is None:
            raise refuse(401, "User Not Authenticated", "Required to provide Auth information")
        if call.kind is CallKind.OTHER:
            raise refuse(400, "Requested URI does not represent any resource", call.path)
        if call.method not in ("GET", "HEAD"):
            raise refuse(
                405,
                "Method not supported",
                f"The simulator's tables are changed through /__simulator__, not by {call.method}",
            )
        faults = self.faults.active
        for fault in faults:
            fault.prepare(call)
        if call.kind is CallKind.STATS:
            return self.tables.stats(call, faults)
        return self.tables.one_row(call, faults) if call.sys_id else self.tables.list_rows(call, faults)

    def _token(self, call: Call) -> Answer:
        content_type = call.headers.get("content-type", "")
        if call.method != "POST" or not content_type.startswith("application/x-www-form-urlencoded"):
            return Answer.json({"error": "server_error", "error_description": "access_denied"}, 401)
        try:
            return Answer.json(self.instance.door.grant(dict(parse_qsl(call.body.decode("utf-8", "replace")))))
        except OAuthError as error:
            return Answer.json({"error": error.error, "error_description": error.description}, error.status)

    def _dressed(self, call: Call, answer: Answer) -> Answer:
        """The headers that every answer carries. The date is the instance's, not the machine's."""
        answer.headers.setdefault("Date", formatdate(self.instance.clock.now(), usegmt=True))
        answer.headers.setdefault("Server", "ServiceNow")
        answer.headers.setdefault("X-Is-Logged-In", "true" if call.user else "false")
        answer.headers.setdefault("X-Transaction-ID", secrets.token_hex(6))
        if answer.status == 401:
            answer.headers.setdefault("WWW-Authenticate", 'BASIC realm="Service-now"')
        return answer


async def _client_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check_accept(call: Call) -> None:
    accept = call.headers.get("accept", "")
    if not accept:
        raise refuse(400, "Missing Accept header", "The Accept header is required")
    if not any(kind in accept for kind in ("application/json", "*/*", "application/*", "text/json")):
        raise refuse(406, "Not acceptable", f"Cannot produce {accept}")


class _WithTransport:
    """Hands the connection on in the scope, for faults that need it; Starlette wraps `send` on the way down."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[TRANSPORT] = transport_of(send)
        await self.app(scope, receive, send)
