"""Statements straight through the driver: what is undone, and what the pool gets back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

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


async def test_a_transaction_is_kept_at_its_end_and_undone_by_an_error(sessions: Sessions) -> None:
    async with transaction(sessions) as connection:
        await connection.execute("INSERT INTO marks VALUES ('kept')")

    with suppress(LookupError):
        async with transaction(sessions) as connection:
            await connection.execute("INSERT INTO marks VALUES ('undone')")
            raise LookupError

    assert await _marks(sessions) == ["kept"]


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


async def test_a_lost_database_is_told_as_sessions_tell_it_and_costs_the_next_user_nothing(sessions: Sessions) -> None:
    with pytest.raises(OperationalError):
        async with connected(sessions) as connection:
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")

    assert await _marks(sessions) == []
