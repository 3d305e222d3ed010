"""Routes are found by a table and called by our own hand: with the same result as by FastAPI."""

import re
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match

from integrations_api.api.application import Application, RouteTable
from integrations_api.api.calling import is_plain
from integrations_api.api.routes import PUBLIC, Router
from tests.support.applications import bare_app, client_of

pytestmark = pytest.mark.anyio

FASTAPIS_WAY = {"/auth/token", "/readyz"}
"""A form, and an answer whose status is filled in."""
PATHS = [
    "/knowledge/incidents/INC1",
    "/knowledge/incidents/owner/repo#45",
    "/knowledge/incidents/owner/repo#45/history",
    "/knowledge/incidents/history",
    "/integrations/sync/1/runs",
    "/integrations/runs/1",
    "/users",
    "/healthz",
]


def scope_of(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "root_path": "", "headers": [], "query_string": b""}


def walked(app: Application, method: str, path: str) -> Any:
    """The first route that matches, by looking at every one."""
    return next((one for one in app.routes if one.matches(scope_of(method, path))[0] is Match.FULL), None)


def test_the_table_finds_what_a_walk_past_every_route_finds() -> None:
    app = bare_app()
    table = RouteTable(app.router)
    templates = [route.path_format for route in app.routes if isinstance(route, APIRoute)]

    for path in [*templates, *PATHS]:
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert table.find(scope_of(method, path)) is walked(app, method, path), (method, path)


@pytest.mark.parametrize("path", ["", "/", "//", "/healthz/", "/users/1/2/3/4", "/integrations", "/nothing/of/ours"])
def test_what_is_no_route_is_left_to_the_router(path: str) -> None:
    app = bare_app()

    assert RouteTable(app.router).find(scope_of("GET", path)) is None


async def test_a_route_is_built_when_a_request_wants_it_and_the_others_meanwhile() -> None:
    app, router = bare_app(), Router(dependencies=[PUBLIC])
    planted, other = _plant(app, router, "/planted/{id}"), _plant(app, router, "/other/{id}")
    assert not is_built(planted)

    async with client_of(app) as client:
        answer = await client.get(f"/planted/{UUID(int=1)}?n=4")
    assert answer.status_code == 200
    assert (is_built(planted), is_built(other)) == (True, False)

    await app.build_routes(pause=0)
    assert is_built(other)
    assert not hasattr(other, "of_no_route")


def _plant(app: Application, router: Router, path: str) -> APIRoute:
    router.get(path)(endpoint)
    route = router.routes[-1]
    assert isinstance(route, APIRoute)
    app.router.routes.append(route)
    return route


def is_built(route: APIRoute) -> bool:
    """By its own attributes: to ask for one that is not there would build it."""
    return "dependant" in vars(route)


def test_what_goes_fastapis_way_is_listed_here() -> None:
    routes = [route for route in bare_app().routes if isinstance(route, APIRoute)]

    assert {route.path for route in routes if not is_plain(route)} == FASTAPIS_WAY


CALLED: list[str] = []


async def noted(n: Annotated[int, Query()]) -> int:
    CALLED.append("noted")
    return n


async def twice(n: Annotated[int, Depends(noted)]) -> int:
    return 2 * n


async def endpoint(
    id_: Annotated[UUID, Path(alias="id")],
    first: Annotated[int, Depends(noted)],
    second: Annotated[int, Depends(twice)],
    most: Annotated[int, Query(le=10)] = 3,
) -> dict[str, str]:
    return {"seen": f"{id_} {first} {second} {most}"}


async def test_a_dependency_is_called_once_and_every_problem_is_told() -> None:
    CALLED.clear()
    app, router = bare_app(), Router(dependencies=[PUBLIC])
    router.get("/planted/{id}")(endpoint)
    app.router.routes.append(router.routes[0])
    assert is_plain(router.routes[0])  # type: ignore[arg-type]

    async with client_of(app) as client:
        good = await client.get(f"/planted/{UUID(int=1)}?n=4")
        bad = await client.get("/planted/x?n=no&most=11")

    assert good.json() == {"seen": f"{UUID(int=1)} 4 8 3"}
    assert CALLED == ["noted"]
    assert bad.status_code == 422
    assert {one["field"] for one in bad.json()["errors"]} == {"id", "n", "most"}


class Choice(BaseModel):
    size: int = 1


async def many_kinds(
    needed: str,
    word: str | None = None,
    words: Annotated[list[str] | None, Query()] = None,
    listed: Annotated[list[int], Query()] = [7],  # noqa: B006 - FastAPI gives each request a copy
    other: Annotated[int, Query(alias="another")] = 2,
    checked: Annotated[int, Query(le=3, validate_default=True)] = "3",  # type: ignore[assignment]
) -> Response:
    listed.append(0)
    return Response(repr((needed, word, words, listed, other, checked)))


async def of_a_model(choice: Annotated[Choice | None, Query()] = None) -> Response:
    return Response(repr(choice))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("many", ""),
        ("many", "needed=a"),
        ("many", "needed=a&word="),
        ("many", "needed=a&words=b&words=c&listed=1&listed=2"),
        ("many", "needed=a&another=5&other=6"),
        ("many", "needed=a&checked=9&listed=x"),
        ("model", ""),
        ("model", "size=4"),
    ],
)
async def test_a_query_is_read_as_fastapi_reads_it(path: str, query: str) -> None:
    told = []
    for router in (Router(dependencies=[PUBLIC]), APIRouter(dependencies=[PUBLIC])):
        router.get("/planted/many")(many_kinds)
        router.get("/planted/model")(of_a_model)
        app = bare_app()
        app.router.routes += router.routes
        async with client_of(app) as client:
            answers = [await client.get(f"/planted/{path}?{query}") for _ in range(2)]
        told.append([(answer.status_code, answer.text) for answer in answers])

    ours, theirs = ([(status, _without_id(text)) for status, text in one] for one in told)
    assert ours == theirs
    assert ours[0] == ours[1]


def _without_id(answered: str) -> str:
    return re.sub(r'"request_id":"[^"]*"', "", answered)
