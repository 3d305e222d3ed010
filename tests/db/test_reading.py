"""A reading sees one moment, through the driver itself, and leaves a clean connection behind however it ends."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.db.reading import reading, rows
from integrations_api.errors import NotFound

pytestmark = pytest.mark.anyio


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """Sessions that share one connection, so that each inherits what the one before left."""
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE notes (words text)"))
    yield create_sessions(engine)
    await engine.dispose()


async def note(sessions: Sessions, words: str) -> None:
    async with sessions.begin() as session:
        await session.execute(text("INSERT INTO notes VALUES (:words)"), {"words": words})


async def cancelled(work: Coroutine[Any, Any, None], *, once: asyncio.Event) -> None:
    """Lets it begin, and cancels it then."""
    task = asyncio.create_task(work)
    await once.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def can_be_written(database_url: str, sessions: Sessions) -> bool:
    """Whether others see what is written next: in a transaction that was left open they would not."""
    await note(sessions, "written")
    other = create_engine(database_url, pool_size=1)
    async with other.connect() as connection:
        seen = (await connection.execute(text("SELECT count(*) FROM notes"))).scalar_one()
    await other.dispose()
    return bool(seen)


async def test_parameters_have_names_and_may_come_twice(sessions: Sessions) -> None:
    async with reading(sessions) as session:
        found = await rows(
            session,
            "SELECT CAST(:word AS text) || :word AS twice, CAST(:many AS integer[]) AS many, '{}'::jsonb AS whole",
            {"word": "so", "many": [1, 2], "unused": None},
        )

    assert [dict(row) for row in found] == [{"twice": "soso", "many": [1, 2], "whole": {}}]


async def test_all_statements_see_one_moment_and_the_session_sees_it_too(database_url: str, sessions: Sessions) -> None:
    other = create_engine(database_url, pool_size=1)
    counted = "SELECT count(*) AS n FROM notes"
    async with reading(sessions) as session:
        before = (await rows(session, counted, {}))[0]["n"]
        await note(create_sessions(other), "meanwhile")
        seen = [(await rows(session, counted, {}))[0]["n"], await session.scalar(text(counted))]
    async with reading(sessions) as session:
        after = (await rows(session, counted, {}))[0]["n"]
    await other.dispose()

    assert (before, seen, after) == (0, [0, 0], 1)


async def test_nothing_of_a_reading_stays_on_its_connection(database_url: str, sessions: Sessions) -> None:
    async with reading(sessions) as session:
        await rows(session, "SET LOCAL enable_sort TO off", {})
        assert (await rows(session, "SHOW enable_seqscan", {}))[0][0] == "off"

    async with sessions() as session:
        left = [await session.scalar(text(f"SHOW {name}")) for name in ("enable_seqscan", "enable_sort")]
    assert left == ["on", "on"]
    assert await can_be_written(database_url, sessions)


async def test_a_connection_is_used_again_after_a_reading_with_its_session(sessions: Sessions) -> None:
    asked, backends = text("SELECT pg_backend_pid()"), []
    for _ in range(2):
        async with reading(sessions) as session:
            backends.append(await session.scalar(asked))
    async with sessions() as session:
        backends.append(await session.scalar(asked))

    assert len(set(backends)) == 1


async def test_a_reading_that_fails_ends_its_transaction_and_tells_why(database_url: str, sessions: Sessions) -> None:
    with pytest.raises(NotFound):
        async with reading(sessions):
            raise NotFound("Dataset not found")

    assert await can_be_written(database_url, sessions)


async def test_a_reading_that_is_cancelled_hands_no_transaction_on(database_url: str, sessions: Sessions) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with reading(sessions) as session:
            begun.set()
            await rows(session, "SELECT pg_sleep(60)", {})

    await cancelled(read(), once=begun)

    assert await can_be_written(database_url, sessions)


async def test_a_database_that_goes_away_under_a_reading_is_told_as_such(database_url: str, sessions: Sessions) -> None:
    with pytest.raises(OperationalError):
        async with reading(sessions) as session:
            await rows(session, "SELECT pg_terminate_backend(pg_backend_pid())", {})

    assert await can_be_written(database_url, sessions)


async def test_wherever_a_reading_is_cancelled_it_hands_no_transaction_on(sessions: Sessions) -> None:
    async def read() -> None:
        async with reading(sessions) as session:
            await rows(session, "SELECT 1", {})

    for steps in range(30):
        task = asyncio.create_task(read())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        async with connected(sessions) as connection:
            assert await connection.fetchval("SHOW transaction_read_only") == "off", steps


async def test_a_statement_of_its_session_that_is_cancelled_costs_the_next_user_nothing(
    database_url: str, sessions: Sessions
) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with reading(sessions) as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await session.execute(text("SELECT pg_sleep(60)"))

    await cancelled(read(), once=begun)

    assert await can_be_written(database_url, sessions)


async def test_a_database_that_goes_away_under_its_session_is_told_as_such(
    database_url: str, sessions: Sessions
) -> None:
    with pytest.raises(OperationalError):
        async with reading(sessions) as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    assert await can_be_written(database_url, sessions)
