"""How a route is called: by what FastAPI found in its signature, but without FastAPI's general way through a request.

That way (three exit stacks for generators, a response to be filled in, a header parsed as an e-mail's, all of it again
for each dependency) took more processor time than what our routes do between their statements: bench/api.py. Fields
are read and validated by FastAPI's own functions, so that values, errors and the description are the same. A route that
needs anything that is not `is_plain` goes FastAPI's way.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, cast, get_args, get_type_hints

from fastapi import Request, Response
from fastapi._compat import ModelField
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_validation_alias, request_body_to_args, request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.routing import APIRoute, serialize_response
from pydantic import BaseModel
from starlette.datastructures import QueryParams

from integrations_api.api.components import ComponentOf
from integrations_api.components import Components

Solved = dict[str, Any]
_Call = Callable[..., Awaitable[Any]]


def is_plain(route: APIRoute) -> bool:
    """Whether `call` does for a route all that FastAPI would: coroutines, JSON in, a model or a `Response` out."""
    takes_form = route.body_field is not None and isinstance(route.body_field.field_info, Form)
    shapes_itself = isinstance(route.response_class, DefaultPlaceholder) or _gives_response(route.endpoint)
    return shapes_itself and not takes_form and all(_is_plain(dependant) for dependant in _tree(route.dependant))


def _tree(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for child in dependant.dependencies:
        yield from _tree(child)


def _is_plain(dependant: Dependant) -> bool:
    needs_more = (
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.websocket_param_name,
        dependant.security_scopes_param_name,
        dependant.cookie_params,
        dependant.concurrency,
    )
    return not any(needs_more) and dependant.use_cache and _is_coroutine(dependant.call)


def _is_coroutine(function: Any) -> bool:
    # A dependency may also be an object that is called.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _gives_response(endpoint: Callable[..., Any]) -> bool:
    given = get_type_hints(endpoint).get("return")
    return isinstance(given, type) and issubclass(given, Response)


async def call(route: APIRoute, request: Request, body: Any) -> Response:
    """The answer of a route to a request whose body was read. Raises `RequestValidationError` that lists all it found.

    Dependencies come before what the route itself takes: so who may not ask is told that, and nothing else.
    """
    problems: list[Any] = []
    call = _Calling(request, body, problems, embedded=route._embed_body_fields)
    values = await call.arguments(route.dependant)
    if problems:
        raise RequestValidationError(problems)
    answer = await cast(_Call, route.dependant.call)(**values)
    return answer if isinstance(answer, Response) else await _shaped(route, answer)


class _Calling:
    """The dependencies of one request, each called once."""

    def __init__(self, request: Request, body: Any, problems: list[Any], *, embedded: bool) -> None:
        self._request = request
        self._body = body
        self._problems = problems
        self._embedded = embedded
        self._solved: dict[Any, Any] = {}

    async def arguments(self, dependant: Dependant) -> Solved:
        """What the function of a dependant is to be given; what cannot be read stands among the problems."""
        values: Solved = {}
        for child in dependant.dependencies:
            known = len(self._problems)
            solved = await self._solve(child)
            if child.name is not None and len(self._problems) == known:
                values[child.name] = solved
        self._read(dependant, values)
        if dependant.body_params:
            read, problems = await request_body_to_args(
                body_fields=dependant.body_params, received_body=self._body, embed_body_fields=self._embedded
            )
            self._take(values, read, problems)
        for name in (dependant.request_param_name, dependant.http_connection_param_name):
            if name is not None:
                values[name] = self._request
        return values

    async def _solve(self, dependant: Dependant) -> Any:
        function = cast(_Call, dependant.call)
        if isinstance(function, ComponentOf):
            parts: Components = self._request.app.state.components
            return parts[function.kind]
        if function not in self._solved:
            known = len(self._problems)
            values = await self.arguments(dependant)
            if len(self._problems) > known:
                return None
            self._solved[function] = await function(**values)
        return self._solved[function]

    def _read(self, dependant: Dependant, values: Solved) -> None:
        request = self._request
        if dependant.path_params:
            self._take(values, *request_params_to_args(dependant.path_params, request.path_params))
        if dependant.query_params:
            named = _named(dependant.query_params, request.query_params, values)
            self._take(values, *request_params_to_args(named, request.query_params))
        if dependant.header_params:
            self._take(values, *request_params_to_args(dependant.header_params, request.headers))

    def _take(self, values: Solved, read: Solved, problems: list[Any]) -> None:
        values.update(read)
        self._problems += problems


def _named(fields: Sequence[ModelField], given: QueryParams, values: Solved) -> list[ModelField]:
    """The fields that FastAPI has to look for in a query. Those that are simply not there get their defaults.

    FastAPI looks at the annotation of each at every request: for the twelve of a search a fifth of the process's work.
    """
    named = []
    for field in fields:
        key = _key_of(field)
        if key is None or key in given:
            named.append(field)
        else:
            values[field.name] = field.default
    return named


@lru_cache(maxsize=1000)
def _key_of(field: ModelField) -> str | None:
    """By what a query names a field that is its default otherwise; None where there is more to it."""
    info = field.field_info
    types = (info.annotation, *get_args(info.annotation))
    is_model = any(isinstance(one, type) and issubclass(one, BaseModel) for one in types)
    if is_model or info.is_required() or info.validate_default or not isinstance(info.validation_alias, str | None):
        return None
    return get_validation_alias(field)


async def _shaped(route: APIRoute, answer: Any) -> Response:
    """The answer as JSON, validated by the route's model first."""
    body = await serialize_response(field=route.response_field, response_content=answer, dump_json=True)
    return Response(body, status_code=route.status_code or 200, media_type="application/json")
