"""HEAD says what GET would say, and no more."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from sse_starlette import EventSourceResponse

from integrations_api.api.routes import PUBLIC, Router
from integrations_api.metrics import HTTP_REQUESTS
from tests.support.applications import bare_app, client_of
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


async def without_end() -> AsyncIterator[bytes]:
    while True:
        yield b": ping\n\n"
        await asyncio.sleep(0.01)


def planted_app() -> FastAPI:
    app, router = bare_app(), Router(dependencies=[PUBLIC])

    @router.get("/stream")
    async def stream() -> EventSourceResponse:
        return EventSourceResponse(without_end())

    app.include_router(router)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(planted_app()) as client:
        yield client


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/users", "/nowhere", "/healthz?a=%00", "/readyz"])
async def test_a_head_is_that_of_get_without_a_body(client: httpx.AsyncClient, path: str) -> None:
    head, whole = await client.head(path), await client.get(path)

    assert head.content == b""
    assert whole.content
    assert head.status_code == whole.status_code
    assert [name for name in whole.headers if name not in head.headers] == []
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]


async def test_the_head_of_a_stream_is_its_end(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        answer = await client.head("/stream")

    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.content == b""


async def test_a_route_without_get_knows_no_head(client: httpx.AsyncClient) -> None:
    answer = await client.head("/auth/token")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


async def test_a_head_is_counted_as_one_at_its_route(client: httpx.AsyncClient) -> None:
    counted = HTTP_REQUESTS.labels("HEAD", "/healthz", 200)
    before = counted._value.get()

    await client.head("/healthz")

    assert counted._value.get() == before + 1
