"""Statements straight through the driver: what is undone, and what the pool gets back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy.exc import OperationalError

from integrations_api.db.direct import Row, connected, transaction
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """Over one connection, so that what one user leaves behind is what the next one finds."""
    engine = create_engine(database_url, pool_size=1)
    sessions = create_sessions(engine)
    async with connected(sessions) as connection:
        await connection.execute("CREATE TABLE marks (name text)")
    yield sessions
    await engine.dispose()


async def _marks(sessions: Sessions) -> list[str]:
    async with connected(sessions) as connection:
        return [row.name for row in await connection.fetch("SELECT name FROM marks", record_class=Row)]


async def _somebody_waits(connection: asyncpg.Connection) -> None:
    """Until a transaction waits for another one to end."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    async with asyncio.timeout(PATIENCE):
        while not await connection.fetch(waiting):
            await asyncio.sleep(0.02)
            await connection.execute("SELECT pg_stat_clear_snapshot()")


async def test_a_transaction_is_kept_at_its_end_and_undone_by_an_error(sessions: Sessions) -> None:
    async with transaction(sessions) as connection:
        await connection.execute("INSERT INTO marks VALUES ('kept')")

    with suppress(LookupError):
        async with transaction(sessions) as connection:
            await connection.execute("INSERT INTO marks VALUES ('undone')")
            raise LookupError

    assert await _marks(sessions) == ["kept"]


async def test_what_is_read_after_a_lock_is_as_the_one_before_has_left_it(
    sessions: Sessions, database_url: str
) -> None:
    lock = "SELECT FROM marks WHERE name = 'first' FOR UPDATE"
    other_engine = create_engine(database_url, pool_size=1)

    async def read() -> list[str]:
        async with transaction(create_sessions(other_engine), first=lock) as connection:
            return [row["name"] for row in await connection.fetch("SELECT name FROM marks ORDER BY name")]

    async with transaction(sessions) as connection:
        await connection.execute("INSERT INTO marks VALUES ('first')")
    async with transaction(sessions, first=lock) as connection:
        reading = asyncio.create_task(read())
        await _somebody_waits(connection)
        await connection.execute("INSERT INTO marks VALUES ('second')")

    assert await asyncio.wait_for(reading, PATIENCE) == ["first", "second"]
    await other_engine.dispose()


async def test_a_beginning_that_fails_is_undone_and_its_connection_used_again(sessions: Sessions) -> None:
    async with connected(sessions) as connection:
        before = connection.get_server_pid()

    with pytest.raises(asyncpg.UndefinedTableError):
        async with transaction(sessions, first="SELECT FROM nowhere FOR UPDATE"):
            raise AssertionError("was entered")

    async with connected(sessions) as connection:
        assert connection.get_server_pid() == before


async def test_nobody_inherits_a_transaction_that_was_left_open(sessions: Sessions) -> None:
    async with connected(sessions) as connection:
        await connection.execute("BEGIN; INSERT INTO marks VALUES ('left')")

    assert await _marks(sessions) == []
    async with connected(sessions) as connection:
        assert not connection.is_in_transaction()


async def test_a_request_that_is_cancelled_gives_its_connection_back(sessions: Sessions) -> None:
    async def hold() -> None:
        async with transaction(sessions) as connection:
            await connection.execute("INSERT INTO marks VALUES ('cancelled')")
            began.set()
            await connection.execute("SELECT pg_sleep(60)")

    began = asyncio.Event()
    holding = asyncio.create_task(hold())
    await asyncio.wait_for(began.wait(), PATIENCE)

    holding.cancel()

    with pytest.raises(asyncio.CancelledError):
        await holding
    assert await _marks(sessions) == []


async def test_nobody_inherits_a_transaction_whose_beginning_was_cancelled(
    sessions: Sessions, database_url: str
) -> None:
    lock = "SELECT FROM marks WHERE name = 'locked' FOR UPDATE"
    other_engine = create_engine(database_url, pool_size=1)

    async def begin() -> None:
        async with transaction(sessions, first=lock):
            raise AssertionError("was entered")

    async with transaction(sessions) as connection:
        await connection.execute("INSERT INTO marks VALUES ('locked')")
    async with transaction(create_sessions(other_engine), first=lock) as connection:
        beginning = asyncio.create_task(begin())
        await _somebody_waits(connection)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning

        assert await _marks(sessions) == ["locked"]
        async with connected(sessions) as connection:
            assert not connection.is_in_transaction()
    await other_engine.dispose()


async def test_a_lost_database_is_told_as_sessions_tell_it_and_costs_the_next_user_nothing(sessions: Sessions) -> None:
    with pytest.raises(OperationalError):
        async with connected(sessions) as connection:
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    assert await _marks(sessions) == []
