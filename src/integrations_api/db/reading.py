"""Reading where milliseconds count: one moment of the database, asked through the driver itself.

A statement through SQLAlchemy costs the process 0.3 to 0.5 ms, and the same one through asyncpg 0.05 ms, so a search of
eight statements spent most of its time there. What is rare goes through the session as everywhere: both speak over the
same connection, in the same transaction.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import DATABASE_LOST, Sessions, is_lost_connection

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]

_DRIVER = "driver"

# One round trip. With a limit the planner likes to scan instead of using the indexes; and statements whose joins are
# spelled out need not be planned anew for each set of parameters, which took 0.2 to 0.4 ms each.
_BEGIN = """
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL enable_seqscan TO off;
    SET LOCAL plan_cache_mode TO force_generic_plan
"""


@asynccontextmanager
async def reading(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A read-only session whose statements all see one moment, kept on the indexes, each planned once a connection.

    Raises `ConnectionError` where the database goes away under it.
    """
    async with speaking(sessions) as session, _transaction(session):
        yield session


@asynccontextmanager
async def speaking(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A session for `rows` and `run`, in which each statement is a transaction of its own.

    Raises `ConnectionError` where the database goes away under it.
    """
    async with sessions() as session:
        connection = await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        session.info[_DRIVER] = (await connection.get_raw_connection()).driver_connection
        try:
            yield session
        except DATABASE_LOST as error:
            if not is_lost_connection(error):
                raise
            raise ConnectionError("The database went away under a statement") from error


@asynccontextmanager
async def _transaction(session: AsyncSession) -> AsyncIterator[None]:
    try:
        await run(session, _BEGIN)
        yield
    except Exception:
        await _end(session)
        raise
    except BaseException:
        session.sync_session.invalidate()  # Cancelled: nobody waits for a rollback any more.
        raise
    await _end(session)


async def _end(session: AsyncSession) -> None:
    try:
        await run(session, "ROLLBACK")
    except BaseException:
        session.sync_session.invalidate()  # It must not go back to the pool in a transaction.
        raise


@dataclass(frozen=True, slots=True)
class Numbered:
    """SQL with numbered parameters, and which fact each of them is."""

    sql: str
    names: tuple[str, ...]


@lru_cache(maxsize=500)
def numbered_sql(sql: str) -> Numbered:
    """SQL with `:named` parameters as the driver wants it."""
    compiled = text(sql).compile(dialect=_DIALECT)
    return Numbered(str(compiled), tuple(compiled.positiontup or ()))


async def rows(session: AsyncSession, sql: str, facts: Mapping[str, Any]) -> list[asyncpg.Record]:
    """What a statement with `:named` parameters finds, in a session of `reading` or `speaking`.

    Values go and come as asyncpg has them. Errors are the driver's own.
    """
    statement = numbered_sql(sql)
    found: list[asyncpg.Record] = await _driver(session).fetch(
        statement.sql, *[facts[name] for name in statement.names]
    )
    return found


async def run(session: AsyncSession, script: str) -> None:
    """Statements without parameters, in one round trip, in a session of `reading` or `speaking`."""
    await _driver(session).execute(script)


def _driver(session: AsyncSession) -> asyncpg.Connection:
    return session.info[_DRIVER]
