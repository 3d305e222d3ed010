"""Alive means the process answers; ready means database, schema and a worker."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.components import Components
from integrations_api.worker_wiring import build_worker
from tests.support.applications import LiveApp, live_app
from tests.support.databases import database_name

pytestmark = pytest.mark.anyio


async def _run(components: Components, statement: str, **values: object) -> None:
    async with components[AsyncEngine].begin() as connection:
        await connection.execute(text(statement), values)


async def _see_worker(components: Components, seconds_ago: int) -> None:
    await _run(
        components,
        "INSERT INTO workers (id, host, pid, seen_at) VALUES (:id, 'h', 1, now() - make_interval(secs => :ago))",
        id=uuid4(),
        ago=seconds_ago,
    )


async def _ready(live: LiveApp) -> tuple[int, bool, dict[str, bool]]:
    response = await live.client.get("/readyz")
    body = response.json()
    return response.status_code, body["success"], {check["name"]: check["ok"] for check in body["checks"]}


async def test_alive_needs_nothing_else(empty_database_url: str) -> None:
    async with live_app(empty_database_url) as live:
        response = await live.client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"success": True, "message": "alive"})


async def test_ready_with_a_migrated_database_and_a_worker_seen_lately(database_url: str) -> None:
    async with live_app(database_url) as live:
        await _see_worker(live.components, seconds_ago=3600)
        await _see_worker(live.components, seconds_ago=2)

        assert await _ready(live) == (200, True, {"database": True, "schema": True, "worker": True})


@pytest.mark.parametrize("seen", [[], [31]])
async def test_not_ready_without_a_living_worker(database_url: str, seen: list[int]) -> None:
    async with live_app(database_url) as live:
        for seconds in seen:
            await _see_worker(live.components, seconds_ago=seconds)

        assert await _ready(live) == (503, False, {"database": True, "schema": True, "worker": False})


async def test_of_a_worker_that_has_left_nobody_says_that_there_never_was_one(database_url: str) -> None:
    async with live_app(database_url) as live:
        stopping = asyncio.Event()
        stopping.set()
        await build_worker(live.components).run(stopping)

        checks = (await live.client.get("/readyz")).json()["checks"]

    assert checks[-1] == {"name": "worker", "ok": False, "message": "there is none: start `integrations-api worker`"}


async def test_a_database_that_can_only_be_read_does_not_take_every_process_out(database_url: str) -> None:
    name = database_name(database_url)
    async with live_app(database_url) as live:
        await _see_worker(live.components, seconds_ago=31)
        await _run(live.components, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await live.components[AsyncEngine].dispose()

        assert await _ready(live) == (200, True, {"database": True, "schema": True, "worker": True})


async def test_not_ready_on_an_unmigrated_database(empty_database_url: str) -> None:
    async with live_app(empty_database_url) as live:
        assert await _ready(live) == (503, False, {"database": True, "schema": False, "worker": False})


async def test_ready_on_a_later_release_s_schema_until_it_takes_away_what_we_need(database_url: str) -> None:
    async with live_app(database_url) as live:
        await _see_worker(live.components, seconds_ago=0)
        await _run(live.components, "UPDATE alembic_version SET version_num = 'later'")
        assert await _ready(live) == (200, True, {"database": True, "schema": True, "worker": True})

        await _run(live.components, "DELETE FROM schema_serves")

        assert await _ready(live) == (503, False, {"database": True, "schema": False, "worker": True})


async def test_an_unreachable_database_is_told_without_its_address() -> None:
    async with live_app("postgresql://canary-user:canary-word@127.0.0.1:1/canary-db") as live:
        response = await live.client.get("/readyz")

    assert response.status_code == 503
    assert not any(check["ok"] for check in response.json()["checks"])
    assert "canary" not in response.text
    assert "127.0.0.1" not in response.text


async def test_a_request_that_needs_an_unreachable_database_is_a_503() -> None:
    async with live_app("postgresql://nobody@127.0.0.1:1/nothing") as live:
        response = await live.client.post("/auth/token", data={"username": "a@b.c", "password": "x"})

    assert response.status_code == 503
    assert response.json() == {"success": False, "message": "The database does not answer; try again soon"}
