"""What is done around each request: its id, its line in the log, its metrics, and what becomes of a defect.

Pure ASGI, because streams must pass through unbuffered.
"""

import asyncio
import re
import time
from collections.abc import Callable
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from integrations_api.api.current import RequestContext, serving
from integrations_api.api.refusals import error_response, internal_error
from integrations_api.logs import AlreadyLogged, get_logger
from integrations_api.metrics import method_label, requests_of, seconds_of

log = get_logger(__name__)

Shared = Callable[[ASGIApp], ASGIApp]
"""Makes of an application one whose answers others may read."""

_SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class RequestContextMiddleware:
    """Gives each request its id, answers it as `X-Request-ID`, logs one line, and turns defects into a plain 500.

    `shared` is put around an answer of its own, so that pages of other origins may read that as well.
    """

    def __init__(self, app: ASGIApp, *, shared: Shared | None = None) -> None:
        self._app = app
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(request_id=_request_id(scope), address=_address(scope))
        with serving(context):
            await _Exchange(self._app, context, self._shared).run(scope, receive, send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: ASGIApp, context: RequestContext, shared: Shared | None) -> None:
        self._app = app
        self._context = context
        self._shared = shared
        self._status: int | None = None
        self._began = time.monotonic()

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
                seconds_of(_route(scope)).observe(time.monotonic() - self._began)
                self._add_headers(message)
            await send(message)

        try:
            await self._answer(scope, receive, send_with_headers)
        finally:
            self._log(scope)
            requests_of(method_label(scope["method"]), _route(scope), self._status or "none").inc()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # What is still going on a while after the end of this process was asked for.
            log.warning("request.cut_off", method=scope["method"], route=_route(scope))
            await self._answer_instead(_ending(), scope, receive, send)
        except Exception:
            log.exception("request.failed", method=scope["method"], route=_route(scope))
            await self._answer_instead(internal_error(self._context.request_id), scope, receive, send)

    async def _answer_instead(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if self._status is not None:
            # Half an answer is out: only cutting the connection tells the client. The server does that for an
            # exception, and would write it to the log once more.
            raise AlreadyLogged from None
        app = answer if self._shared is None else self._shared(answer)
        await app(scope, receive, send)

    def _add_headers(self, message: Message) -> None:
        given = list(message.get("headers", ()))
        names = {name.lower() for name, _ in given}
        message["headers"] = [
            *given,
            (b"x-request-id", self._context.request_id.encode()),
            *(header for header in _SECURITY_HEADERS if header[0] not in names),
        ]

    def _log(self, scope: Scope) -> None:
        log.info(
            "request",
            method=scope["method"],
            route=_route(scope),
            status=self._status,
            milliseconds=round((time.monotonic() - self._began) * 1000, 1),
            address=self._context.address,
        )


def _ending() -> Response:
    return error_response(503, "This service is just ending; try again soon", headers={"Retry-After": "5"})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            return given if _SANE_ID.fullmatch(given) else uuid4().hex
    return uuid4().hex


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _route(scope: Scope) -> str:
    """The route's template, never the path itself: a path or query may carry what must not be logged."""
    return getattr(scope.get("route"), "path_format", None) or "(none)"
