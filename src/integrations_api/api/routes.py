"""Routes that read their input strictly and say who may use them.

Every router of this service is a `Router`. Its routes refuse what PostgreSQL and JSON cannot hold (NUL
characters, lone surrogates, NaN), and a body in the wrong type, but only after authentication has spoken.
"""

import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic_core import PydanticUndefined as Undefined
from python_multipart.multipart import parse_options_header
from starlette.types import Receive, Scope, Send

from integrations_api.api.calling import call, is_plain
from integrations_api.api.problems import BodyProblem, body_problem, note_body_problem
from integrations_api.logs import bind

_JSON_TYPE = re.compile(r"\s*application/(json|[\w.-]+\+json)\s*(;.*)?", re.IGNORECASE)
_FORM_TYPE = re.compile(r"\s*(application/x-www-form-urlencoded|multipart/form-data)\s*(;.*)?", re.IGNORECASE)
_MANY_DIGITS = re.compile(rb"\d{19}")
"""What may be a whole number over 64 bits. orjson would make it a float, unlike the standard library: so nobody could
tell that it was another number, and refuse it."""
_DEEPEST = 100
"""Levels of nesting a body may have; more is an attack, and deeper work downstream recurses."""
_MOST_FIELDS = 100
"""Of a body itself, which no route has twenty of: each that is not known is an error of its own, and a hundred thousand
of them kept everybody waiting for seconds."""
_MOST_PARTS = 10_000
"""Objects and lists in a body. A config may have 2,000 items."""
MAX_FORM_BYTES = 65_536
"""A form is read byte by byte in Python, before anybody has said who he is: a megabyte took more than a second. The
longest password that is read, all of it percent-encoded, fits in."""
_CHARSETS = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin-1", b"latin1", b"windows-1252"})
"""Of forms in several parts. A client may name any that Python has, and not all of those are quick: punycode takes a
time that grows with the square of the text, a second for 64 KiB."""
_NOT_PLAIN = frozenset({str, list, dict})


class AccessRule:
    """Who may use a route: a dependency of it is an instance of this. `permission` is None for any signed-in user."""

    public = False
    permission: str | None = None
    words: str | None = None
    """What the description of a route says, where it is neither public, nor for users."""


class _Public(AccessRule):
    public = True

    async def __call__(self) -> None:
        """Lets everybody through."""


PUBLIC = Depends(_Public())
"""Marks a route that needs no credentials: `@router.get("/healthz", dependencies=[PUBLIC])`."""


def access_rules(dependant: Dependant) -> Iterator[AccessRule]:
    """Every access rule in a route's tree of dependencies; a route should have exactly one."""
    call: object = dependant.call
    if isinstance(call, AccessRule):
        yield call
    for child in dependant.dependencies:
        yield from access_rules(child)


class StrictRoute(APIRoute):
    """A route whose input has been looked at before anything of ours sees it.

    Until more is wanted of it than its path it is not built: what FastAPI makes of the signatures of all routes was a
    tenth of a start. `Application.build_routes` builds what nobody has asked for yet.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path = path
        self._build: Callable[[], None] | None = partial(super().__init__, path, endpoint, **options)

    def __getattr__(self, name: str) -> Any:
        """Python asks this for what a route does not have: one that is not built yet is built, and has it then."""
        if not self.build():
            raise AttributeError(f"A route has no {name}")
        return getattr(self, name)

    def build(self) -> bool:
        """Whether that was still to be done."""
        build = self.__dict__.get("_build")
        if build is None:
            return False
        self._build = None
        build()
        if is_plain(self):
            self.app = self._answer_plainly
        return True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind our look at the input, for what is not plain, or is served with another prefix."""
        handler = super().get_route_handler()
        wants_form = self.body_field is not None and isinstance(self.body_field.field_info, Form)

        async def strict(request: Request) -> Response:
            checked = _looked_at(request.scope, request.receive)
            if self.body_field is not None:
                await checked.check_type(_FORM_TYPE if wants_form else _JSON_TYPE)
            if wants_form:
                await checked.check_form()
            return await handler(checked)

        return strict

    async def _answer_plainly(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _looked_at(scope, receive)
        body = Undefined if self.body_field is None else await request.read()
        response = await call(self, request, body)
        await response(scope, receive, send)


def _looked_at(scope: Scope, receive: Receive) -> "_StrictRequest":
    request = _StrictRequest(scope, receive)
    _refuse_nul_in_url(request)
    if request.path_params and (ids := _ids_in(request.path_params)):
        bind(**ids)
    return request


def _ids_in(path_params: Mapping[str, Any]) -> dict[str, str]:
    """The ids in a path, for log lines. Only what is one: anything else in a path may be what must not be logged."""
    found = {}
    for name, value in path_params.items():
        with suppress(ValueError):
            if name.endswith("_id"):
                found[name] = str(UUID(value))
    return found


class Router(APIRouter):
    """`APIRouter` with strict routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": StrictRoute, "redirect_slashes": False, **options})


class _StrictRequest(Request):
    """Reads JSON and forms strictly. A body that cannot be read is noted and handed on as bytes, which no model
    accepts: so FastAPI asks the access rule first, and the error handler finds the note."""

    async def check_type(self, wanted: re.Pattern[str]) -> None:
        """Notes a 415 for a body that is not in the wanted type, or is compressed."""
        encoded = self.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}
        if wanted.fullmatch(self.headers.get("content-type", "")) and not encoded:
            return
        # Looking at the body itself, not at its headers, so that an absent body is "required", not "unsupported".
        if await self.body():
            message = "Send uncompressed JSON with Content-Type: application/json"
            if wanted is _FORM_TYPE:
                message = "Send a form with Content-Type: application/x-www-form-urlencoded"
            note_body_problem(self, BodyProblem(status=415, message=message))

    async def read(self) -> Any:
        """The body as JSON, or as bytes that no model accepts; `Undefined` where there is none."""
        await self.check_type(_JSON_TYPE)
        return await self.json() if await self.body() else Undefined

    async def json(self) -> Any:
        """The body's value, or its bytes where a problem was noted."""
        raw = await self.body()
        if body_problem(self) is not None:
            return raw
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            note_body_problem(self, BodyProblem.malformed(f"is not valid JSON (near character {error.pos})"))
            return raw
        problem = _unstorable(value)
        if problem is None:
            return json.loads(raw) if _MANY_DIGITS.search(raw) else value
        note_body_problem(self, BodyProblem.malformed(problem))
        return raw

    async def check_form(self) -> None:
        """Reads the form (FastAPI then finds it read) and refuses what PostgreSQL could not store."""
        problem = await self._form_problem()
        if problem is not None:
            note_body_problem(self, problem)
            raise RequestValidationError([])

    async def _form_problem(self) -> BodyProblem | None:
        if len(await self.body()) > MAX_FORM_BYTES:
            return BodyProblem(status=413, message=f"The form is larger than {MAX_FORM_BYTES} bytes")
        kind, options = parse_options_header(self.headers.get("content-type"))
        if kind == b"multipart/form-data" and options.get(b"charset", b"utf-8").lower() not in _CHARSETS:
            return BodyProblem.malformed("must be text in UTF-8")
        form = await self.form()
        texts = [part for item in form.multi_items() for part in item if isinstance(part, str)]
        return BodyProblem.malformed("must not contain NUL characters") if "\0" in "".join(texts) else None


def _unstorable(value: Any) -> str | None:
    """Why PostgreSQL could not store this JSON value, or nobody wants it; None when it can be judged further.

    Level by level, for nobody has said yet who he is: a call for each of half a million zeros held up all others.
    """
    if type(value) is dict and len(value) > _MOST_FIELDS:
        return f"must not have more than {_MOST_FIELDS} fields"
    level, parts = _judged([value]), 0
    for _ in range(_DEEPEST + 1):
        if any("\0" in text for text in level if type(text) is str):
            return "must not contain NUL characters"
        containers = [node for node in level if type(node) is not str]
        if not containers:
            return None
        parts += len(containers)
        if parts > _MOST_PARTS:
            return f"must not hold more than {_MOST_PARTS} objects and lists"
        level = [child for node in containers for child in _judged(node)]
    return f"must not be nested deeper than {_DEEPEST} levels"


def _judged(container: Any) -> list[Any]:
    """What of that which is in it can be wrong: neither numbers nor what is empty."""
    inside = container if type(container) is list else [*container, *container.values()]
    return [one for one in inside if one and type(one) in _NOT_PLAIN]


def _refuse_nul_in_url(request: Request) -> None:
    query: bytes = request.scope.get("query_string", b"")
    if "\0" in request.scope["path"] or (query and "\0" in unquote_plus(query.decode("latin-1"))):
        message = "must not contain NUL characters"
        note_body_problem(request, BodyProblem(status=422, message=f"The URL {message}"))
        raise RequestValidationError([])


def all_routes(routes: Any) -> list[RouteContext]:
    """Every route of an application, those of included routers too, as they are served."""
    return list(iter_route_contexts(routes))


def allowed_methods(request: Request) -> list[str]:
    """The methods some route knows for this path, for the `Allow` header (Starlette names one route's only)."""
    path = request.scope["path"]
    known: set[str] = set()
    for context in all_routes(request.app.routes):
        pattern = getattr(context, "path_regex", None)
        if pattern is not None and pattern.match(path):
            known |= context.methods or set()
    return sorted(known | {"HEAD"} if "GET" in known else known)
