"""Several changes as one statement: all or none, whatever their places are called."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from integrations_api.db.changes import Change, carry_out
from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions, create_engine, create_sessions

pytestmark = pytest.mark.anyio

HOUSE = Change("INSERT INTO houses VALUES ($1, $2) RETURNING id, name || '!' AS name", [1, "Rose Cottage"])


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url, pool_size=1)
    sessions = create_sessions(engine)
    async with connected(sessions) as connection:
        await connection.execute(
            "CREATE TABLE houses (id int PRIMARY KEY, name text);"
            "CREATE TABLE rooms (house int REFERENCES houses, name text, n int CHECK (n > 0))"
        )
    yield sessions
    await engine.dispose()


def _room(name: str, n: int) -> Change:
    return Change("INSERT INTO rooms SELECT $3, $1, $2", [name, n, 1])


async def test_changes_are_made_together_and_the_first_one_is_answered(sessions: Sessions) -> None:
    async with connected(sessions) as connection:
        row = await carry_out(connection, HOUSE, _room("kitchen", 1), _room("attic", 2))

        rooms = await connection.fetch("SELECT house, name, n FROM rooms ORDER BY n")

    assert row is not None
    assert (row.id, row.name) == (1, "Rose Cottage!")
    assert [tuple(room) for room in rooms] == [(1, "kitchen", 1), (1, "attic", 2)]


async def test_none_is_made_where_one_fails(sessions: Sessions) -> None:
    async with connected(sessions) as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await carry_out(connection, HOUSE, _room("kitchen", 1), _room("cellar", -1))

        assert await connection.fetchval("SELECT count(*) FROM houses") == 0
        assert await connection.fetchval("SELECT count(*) FROM rooms") == 0


async def test_one_change_needs_no_row_to_answer(sessions: Sessions) -> None:
    async with connected(sessions) as connection:
        await carry_out(connection, HOUSE)

        assert await carry_out(connection, _room("kitchen", 1)) is None
        assert await connection.fetchval("SELECT name FROM rooms") == "kitchen"
