"""Connections that died in the pool are replaced before anybody gets one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.db import checking
from integrations_api.db.direct import borrowed, connected
from integrations_api.db.engine import Sessions, create_engine, create_sessions, is_lost_connection
from tests.support.processes import PATIENCE
from tests.support.silence import forgetful_network

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database_url, pool_size=2)
    yield made
    await made.dispose()


async def _backend(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        found: int = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        return found


async def _end(url: str, backend: int) -> None:
    """Ends a connection as a server that stops does, and returns when it has gone."""
    other = create_engine(url, pool_size=1)
    async with other.connect() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})
    await other.dispose()


@pytest.mark.parametrize("trusted", [0.0, 60.0])
async def test_a_connection_that_the_server_ended_costs_nobody_a_statement(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch, trusted: float
) -> None:
    monkeypatch.setattr(checking, "TRUSTED", trusted)
    ended = await _backend(engine)

    await _end(database_url, ended)

    assert {await _backend(engine) for _ in range(5)}.isdisjoint({ended})


async def test_a_connection_in_use_a_moment_ago_is_not_asked(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def note(driver: object) -> None:
        asked.append(driver)

    monkeypatch.setattr(checking, "_ask", note)
    monkeypatch.setattr(checking, "TRUSTED", 60.0)
    await _backend(engine)
    await _backend(engine)
    assert asked == []

    monkeypatch.setattr(checking, "TRUSTED", 0.0)
    await _backend(engine)
    assert len(asked) == 1


async def test_connections_that_are_closed_as_soon_as_they_are_made_count_as_lost(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "checkout", insert=True)
    def close(connection: Any, _: Any, __: Any) -> None:
        connection.driver_connection.terminate()

    for borrow in (engine.connect, lambda: borrowed(create_sessions(engine))):
        with pytest.raises(OperationalError) as refused:
            async with borrow():
                pass
        assert is_lost_connection(refused.value)


async def test_one_connection_that_is_closed_as_soon_as_it_is_made_costs_nothing(
    engine: AsyncEngine,
) -> None:
    made: list[object] = []

    @event.listens_for(engine.sync_engine, "checkout", insert=True)
    def close_the_first(connection: Any, _: Any, __: Any) -> None:
        made.append(connection)
        if len(made) == 1:
            connection.driver_connection.terminate()

    assert await _backend(engine)
    assert len(made) == 2


async def _write_by_the_orm(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE marks (name text)"))


async def _write_by_the_driver(sessions: Sessions) -> None:
    async with connected(sessions) as driver:
        await driver.execute("CREATE TABLE marks (name text)")


@pytest.mark.parametrize("write", [_write_by_the_orm, _write_by_the_driver])
async def test_a_connection_that_may_only_read_is_not_given_to_the_next(
    engine: AsyncEngine, write: Callable[[Sessions], Awaitable[None]]
) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SET default_transaction_read_only = on"))
        await connection.commit()
    standby = await _backend(engine)

    with pytest.raises(DBAPIError) as refused:
        await write(create_sessions(engine))

    assert is_lost_connection(refused.value)
    assert await _backend(engine) != standby


async def test_a_connection_whose_user_waits_for_ever_is_cut_and_free_for_the_next(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "LONGEST", 0.5)
    async with forgetful_network(database_url) as network:
        engine = create_engine(network.url, pool_size=1)

        async def ask_in_silence() -> None:
            async with connected(create_sessions(engine)) as connection:
                network.forget()
                await connection.fetch("SELECT 1")

        with pytest.raises(OperationalError):
            await asyncio.wait_for(ask_in_silence(), PATIENCE)

        assert await _backend(engine)
        await engine.dispose()


async def test_a_connection_that_is_given_back_is_not_cut(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "LONGEST", 0.2)
    used = await _backend(engine)
    await asyncio.sleep(0.3)

    assert await _backend(engine) == used
