"""The instance's web application."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import parse_qsl

from starlette.requests import Request

from integrations_api.simulator.common.control import Control
from integrations_api.simulator.common.faults import FaultSet
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.common.signing_in import OAuthError
from integrations_api.simulator.common.web import WebSimulator

from .evolve import evolve
from .faults import BOOK, Fault
from .instance import OPERATIONS, ServiceNowInstance
from .messages import Call, CallKind, refuse
from .sessions import Session, Sessions
from .table_api import TableApi, kind_of

ROUTES = (
    "/api/now/table/{table}",
    "/api/now/table/{table}/{sys_id}",
    "/api/now/{version:str}/table/{table}",
    "/api/now/{version:str}/table/{table}/{sys_id}",
    "/api/now/stats/{stats}",
    "/api/now/v1/stats/{stats}",
    "/oauth_token.do",
    "/oauth_auth.do",
)


class Simulator(WebSimulator[ServiceNowInstance, Call]):
    """Instance, faults, sessions and request log behind one ASGI application, `asgi`."""

    def __init__(self, instance: ServiceNowInstance, *, control: bool = False) -> None:
        faults = FaultSet(instance, BOOK)
        plane = Control(instance, faults, operations=OPERATIONS, evolve=partial(evolve, instance)) if control else None
        super().__init__(instance, faults, routes=ROUTES, control=plane)
        self.sessions = Sessions()
        self.tables = TableApi(instance)

    def _session(self, request: Request) -> Session | None:
        return self.sessions.find(request.cookies.get("JSESSIONID"))

    @asynccontextmanager
    async def turn(self, request: Request) -> AsyncIterator[bool]:
        async with self.sessions.turn(self._session(request)) as is_served:
            yield is_served

    def cookies(self, request: Request) -> list[str]:
        return [] if self._session(request) else self.sessions.cookies()

    def call_of(self, request: Request, *, number: int, body: bytes) -> Call:
        params = dict(request.query_params)
        path = request.path_params
        table = path.get("table") or path.get("stats") or ""
        kind = CallKind.OTHER
        if request.url.path == "/oauth_token.do":
            kind = CallKind.TOKEN
        elif request.url.path == "/oauth_auth.do":
            kind = CallKind.AUTHORIZE
        elif "stats" in path:
            kind = CallKind.STATS
        elif "table" in path:
            kind = kind_of(table, path.get("sys_id", ""), params)
        return Call(
            number=number,
            method=request.method,
            path=request.url.path,
            params=params,
            headers=request.headers,
            body=body,
            base_url=f"{request.url.scheme}://{request.url.netloc}",
            kind=kind,
            version=path.get("version", ""),
            table=table,
            sys_id=path.get("sys_id", ""),
        )

    def served(self, call: Call) -> Answer:
        """Raises RefusedError."""
        if call.kind is CallKind.TOKEN:
            return self._token(call)
        if call.kind is CallKind.AUTHORIZE:
            return self.instance.door.authorize(call.params)
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
        faults = self.faults.of(Fault)
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

    def dressed(self, call: Call, answer: Answer) -> Answer:
        answer.headers.setdefault("Server", "ServiceNow")
        answer.headers.setdefault("X-Is-Logged-In", "true" if call.user else "false")
        answer.headers.setdefault("X-Transaction-ID", secrets.token_hex(6))
        if answer.status == 401:
            answer.headers.setdefault("WWW-Authenticate", 'BASIC realm="Service-now"')
        return super().dressed(call, answer)


def _check_accept(call: Call) -> None:
    accept = call.headers.get("accept", "")
    if not accept:
        raise refuse(400, "Missing Accept header", "The Accept header is required")
    if not any(kind in accept for kind in ("application/json", "*/*", "application/*", "text/json")):
        raise refuse(406, "Not acceptable", f"Cannot produce {accept}")
