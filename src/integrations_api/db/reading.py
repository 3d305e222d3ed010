"""Reading where milliseconds count: one moment of the database, asked through the driver itself.

A statement through SQLAlchemy costs the process 0.3 to 0.5 ms, and the same one through asyncpg 0.05 ms, so a search of
eight statements spent most of its time there. What is rare goes through the session as everywhere: both speak over the
same connection, in the same transaction.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import asyncpg
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.pool import PoolProxiedConnection

from integrations_api.db.direct import Row, borrowed
from integrations_api.db.engine import Sessions

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

    Raises `OperationalError` where the database cannot be had or goes away under it.
    """
    async with (
        borrowed(sessions) as connection,
        _transaction(connection.driver_connection),
        _session_over(connection, sessions) as session,
    ):
        yield session


@asynccontextmanager
async def _session_over(connection: PoolProxiedConnection, sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A session over a connection that is in a transaction already. It costs little as long as it is not used."""
    engine: AsyncEngine = sessions.kw["bind"]
    session = sessions(bind=AsyncConnection(engine, Connection(engine.sync_engine, connection=connection)))
    session.info[_DRIVER] = connection.driver_connection
    adapter: Any = connection.dbapi_connection
    adapter.autocommit = True  # The session must not begin a transaction of its own.
    try:
        yield session
    finally:
        if session.in_transaction():
            await session.close()
        adapter.autocommit = False


@asynccontextmanager
async def _transaction(driver: Any) -> AsyncIterator[None]:
    """What is cancelled in it is not rolled back: such a connection is not used again."""
    await driver.execute(_BEGIN)
    try:
        yield
    except Exception:
        await driver.execute("ROLLBACK")
        raise
    await driver.execute("ROLLBACK")


class Numbered(Struct, frozen=True):
    """SQL with numbered parameters, and which fact each of them is."""

    sql: str
    names: tuple[str, ...]


@lru_cache(maxsize=500)
def numbered_sql(sql: str) -> Numbered:
    """SQL with `:named` parameters as the driver wants it."""
    compiled = text(sql).compile(dialect=_DIALECT)
    return Numbered(str(compiled), tuple(compiled.positiontup or ()))


async def rows(session: AsyncSession, sql: str, facts: Mapping[str, Any]) -> list[Row]:
    """What a statement with `:named` parameters finds, in a session of `reading`.

    Values go and come as asyncpg has them. Errors are the driver's own.
    """
    statement = numbered_sql(sql)
    found: list[Row] = await _driver(session).fetch(
        statement.sql, *[facts[name] for name in statement.names], record_class=Row
    )
    return found


def _driver(session: AsyncSession) -> asyncpg.Connection:
    return session.info[_DRIVER]
