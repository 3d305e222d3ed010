"""Every error leaves in the envelope, with a true status and nothing that should stay inside."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import Query
from pydantic import BaseModel, Field, field_validator
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.testing import capture_logs

from integrations_api.api.routes import PUBLIC, Router
from integrations_api.errors import (
    ConfigurationError,
    Conflict,
    FieldProblem,
    InvalidInput,
    NotFound,
    PermissionDenied,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from tests.support.applications import bare_app, client_of

pytestmark = pytest.mark.anyio

CANARY = "hunter2-canary"


def _forbidden() -> Exception:
    """As SQLAlchemy's dialect wraps it."""
    error = Exception(CANARY)
    error.__cause__ = asyncpg.InsufficientPrivilegeError("permission denied for table users")
    return error


ERRORS: dict[str, tuple[Exception, int, str, dict[str, str]]] = {
    "unauthenticated": (Unauthenticated("Sign in"), 401, "Sign in", {"WWW-Authenticate": "Bearer"}),
    "forbidden": (PermissionDenied("integration.edit"), 403, "Missing permission: integration.edit", {}),
    "missing": (NotFound("Integration not found"), 404, "Integration not found", {}),
    "conflict": (Conflict("Running already"), 409, "Running already", {}),
    "malformed": (InvalidInput("url: is wrong"), 422, "url: is wrong", {}),
    "busy": (TooManyRequests("Slower", retry_after=1), 429, "Slower: wait 1 second", {"Retry-After": "1"}),
    "away": (Unavailable("Later"), 503, "Later", {"Retry-After": "5"}),
    "database": (
        OperationalError("select", {}, Exception(CANARY)),
        503,
        "The database does not answer; try again soon",
        {"Retry-After": "5"},
    ),
    "restart": (
        asyncpg.CannotConnectNowError(CANARY),
        503,
        "The database does not answer; try again soon",
        {"Retry-After": "5"},
    ),
    "slow to connect": (
        TimeoutError(CANARY),
        503,
        "The database does not answer; try again soon",
        {"Retry-After": "5"},
    ),
    "pool": (
        PoolTimeoutError(CANARY),
        503,
        "All database connections of this process are busy; try again soon",
        {"Retry-After": "5"},
    ),
    "connections": (
        asyncpg.TooManyConnectionsError(CANARY),
        503,
        "The database takes no more connections; try again soon",
        {"Retry-After": "5"},
    ),
    "standby": (
        asyncpg.ReadOnlySQLTransactionError(CANARY),
        503,
        "The database can only be read at the moment, so nothing was changed; try again later",
        {"Retry-After": "5"},
    ),
    "deadlock": (
        asyncpg.DeadlockDetectedError(CANARY),
        503,
        "Others are changing the same at this moment, so nothing was changed; try again soon",
        {"Retry-After": "5"},
    ),
    "lock timeout": (
        asyncpg.LockNotAvailableError(CANARY),
        503,
        "Others are changing the same at this moment, so nothing was changed; try again soon",
        {"Retry-After": "5"},
    ),
    "password": (
        asyncpg.InvalidPasswordError(CANARY),
        503,
        "The database does not let this service in: `integrations-api doctor` says why",
        {"Retry-After": "5"},
    ),
    "memory": (
        asyncpg.OutOfMemoryError(CANARY),
        503,
        "The database does not answer; try again soon",
        {"Retry-After": "5"},
    ),
    "rights": (
        ProgrammingError("select", {}, _forbidden()),
        503,
        "The database refuses this service a right: `integrations-api doctor` says which",
        {},
    ),
}


class Thing(BaseModel):
    name: str = Field(max_length=5)
    kind: Literal["a", "b"]
    size: int = Field(ge=1)
    password: str = "x"
    nested: dict[str, int] = {}

    @field_validator("password")
    @classmethod
    def _not_the_canary(cls, value: str) -> str:
        if value == CANARY:
            raise ValueError("must be another one")
        return value


def planted_routes() -> Router:
    router = Router(dependencies=[PUBLIC])

    @router.get("/raise/{name}")
    async def raise_it(name: str) -> None:
        raise ERRORS[name][0]

    @router.get("/defect")
    async def defect() -> None:
        raise RuntimeError(f"password={CANARY}")

    @router.get("/ours")
    async def ours() -> None:
        raise ConfigurationError(f"internal: {CANARY}")

    @router.post("/things")
    async def make(thing: Thing, limit: Annotated[int, Query(le=10)] = 1) -> Thing:
        return thing

    @router.get("/things/{thing_id}")
    async def get(thing_id: UUID) -> None: ...

    @router.delete("/things/{thing_id}")
    async def delete(thing_id: UUID) -> None: ...

    return router


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = bare_app()
    app.include_router(planted_routes())
    async with client_of(app) as client:
        yield client


@pytest.mark.parametrize("name", ERRORS)
async def test_each_error_becomes_its_status_with_its_sentence(client: httpx.AsyncClient, name: str) -> None:
    _, status, message, headers = ERRORS[name]

    response = await client.get(f"/raise/{name}")

    assert response.status_code == status
    assert response.json() == {"success": False, "message": message}
    assert headers.items() <= {key: response.headers.get(key) for key in headers}.items()
    assert CANARY not in response.text


async def test_problems_of_fields_are_listed() -> None:
    app = bare_app()
    router = Router(dependencies=[PUBLIC])

    @router.get("/wrong")
    async def wrong() -> None:
        raise InvalidInput.of([FieldProblem("config.url", "is required"), FieldProblem("auth_type", "is unknown")])

    app.include_router(router)
    async with client_of(app) as client:
        response = await client.get("/wrong")

    assert response.json() == {
        "success": False,
        "message": "config.url: is required",
        "errors": [
            {"field": "config.url", "message": "is required"},
            {"field": "auth_type", "message": "is unknown"},
        ],
    }


@pytest.mark.parametrize("path", ["/defect", "/ours"])
async def test_a_defect_is_a_500_that_tells_only_where_to_look(client: httpx.AsyncClient, path: str) -> None:
    with capture_logs() as logged:
        response = await client.get(path, headers={"X-Request-ID": "abc-123"})

    assert response.status_code == 500
    assert response.json() == {
        "success": False,
        "message": "Something went wrong on our side",
        "request_id": "abc-123",
    }
    assert response.headers["X-Request-ID"] == "abc-123"
    failure = next(line for line in logged if line["event"] == "request.failed")
    assert failure["exc_info"]
    assert failure["route"] == path


@pytest.mark.parametrize("path", ["/nowhere", "/things/", "/auth", "/auth/token/", "//things"])
async def test_a_route_that_does_not_exist_answers_in_the_envelope(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert response.status_code == 404
    assert response.json() == {"success": False, "message": "There is no such route"}


async def test_a_wrong_method_is_told_every_right_one(client: httpx.AsyncClient) -> None:
    response = await client.post(f"/things/{UUID(int=1)}")

    assert response.status_code == 405
    assert response.headers["Allow"] == "DELETE, GET, HEAD"  # of two routes: Starlette alone names one of them
    assert response.json()["success"] is False


WRONG_BODIES = [
    ({"kind": "a", "size": 1}, "name: is required"),
    ({"name": "abcdef", "kind": "a", "size": 1}, "name: must have at most 5 characters"),
    ({"name": 7, "kind": "a", "size": 1}, "name: must be text"),
    ({"name": "n", "kind": CANARY, "size": 1}, "kind: must be 'a' or 'b'"),
    ({"name": "n", "kind": "a", "size": 0}, "size: must be at least 1"),
    ({"name": "n", "kind": "a", "size": CANARY}, "size: must be a whole number"),
    ({"name": "n", "kind": "a", "size": 1, "password": CANARY}, "password: must be another one"),
    ({"name": "n", "kind": "a", "size": 1, "nested": {"x": CANARY}}, "nested.x: must be a whole number"),
    ([CANARY], "body: must be an object"),
    (CANARY, "body: must be an object"),
    (None, "body: is required"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_BODIES)
async def test_the_first_wrong_field_is_named_in_words_and_no_value_is_echoed(
    client: httpx.AsyncClient, body: object, message: str
) -> None:
    response = await client.post("/things", json=body)

    assert response.status_code == 422
    assert response.json()["message"] == message
    assert response.json()["errors"][0]["field"] == message.split(":")[0]
    assert CANARY not in response.text


async def test_all_wrong_fields_are_listed(client: httpx.AsyncClient) -> None:
    response = await client.post("/things?limit=11", json={})

    fields = [error["field"] for error in response.json()["errors"]]
    assert fields == ["limit", "name", "kind", "size"]


async def test_a_malformed_id_in_the_path_is_malformed_input(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/things/{CANARY}")

    assert response.status_code == 422
    assert response.json()["message"] == "thing_id: must be a UUID"
    assert CANARY not in response.text
