"""Statements straight through the driver, for what nearly every request does.

A session of the ORM took five times as long as the statement itself (0.50 ms of processor time against 0.10 ms, reading
a user): bench/api.py. Connections are the engine's own, from the same pool and checked like any other.
"""

from asyncio import CancelledError
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from integrations_api.db.engine import Sessions, is_lost_connection
from integrations_api.db.lost import DATABASE_LOST

_LEAVES_UNFIT = (CancelledError, asyncpg.ReadOnlySQLTransactionError)
"""After these a connection is thrown away. A task that was cancelled may not have come to end its transaction, or has
begun one of which the driver has not heard yet."""


class Row(asyncpg.Record):  # type: ignore[misc] # asyncpg comes without types
    """A row whose columns are attributes; JSON is parsed as everywhere."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def borrowed(sessions: Sessions) -> AbstractAsyncContextManager[PoolProxiedConnection]:
    """A connection from the pool of the sessions' engine, on which each statement is a transaction of its own.

    Raises SQLAlchemy's `OperationalError` where the database cannot be had or goes away, as sessions do, and lets what
    else is wrong with a statement through as asyncpg's error.
    """
    return _Borrowed(sessions)


def connected(sessions: Sessions) -> AbstractAsyncContextManager[asyncpg.Connection]:
    """The driver's side of a `borrowed` connection."""
    return _Connected(sessions)


class _Lent:
    """Classes, because a context that is a generator takes as long as a part of the statement it is opened for."""

    def __init__(self, sessions: Sessions) -> None:
        self._engine: AsyncEngine = sessions.kw["bind"]

    async def _take(self) -> PoolProxiedConnection:
        try:
            self._connection = await greenlet_spawn(self._engine.sync_engine.raw_connection)
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise OperationalError("(asyncpg)", None, error) from error
        return self._connection

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._connection.is_valid:  # A session over it may have thrown it away.
            await self._give_back(error)
        if isinstance(error, DATABASE_LOST) and is_lost_connection(error):
            raise OperationalError("(asyncpg)", None, error) from error

    async def _give_back(self, error: BaseException | None) -> None:
        driver: Any = self._connection.driver_connection
        is_open = not driver.is_closed() and driver.is_in_transaction()
        if is_open or isinstance(error, _LEAVES_UNFIT):
            # Nobody else must inherit an open transaction, nor a standby.
            await greenlet_spawn(self._connection.invalidate)
        else:
            # Nothing is waited for, as no transaction has to be rolled back: so no greenlet is needed.
            self._connection.close()


class _Borrowed(_Lent, AbstractAsyncContextManager[PoolProxiedConnection]):
    async def __aenter__(self) -> PoolProxiedConnection:
        return await self._take()


class _Connected(_Lent, AbstractAsyncContextManager[asyncpg.Connection]):
    async def __aenter__(self) -> asyncpg.Connection:
        return (await self._take()).driver_connection


@asynccontextmanager
async def transaction(sessions: Sessions, *, first: str = "") -> AsyncIterator[asyncpg.Connection]:
    """The same in one transaction, committed at the end, undone by any exception.

    `first` is a statement that goes with its beginning, in one round trip; it has no parameters, and what it finds is
    not given. A lock is such a statement: what is read after it has waited is as the one before has left it.
    """
    async with connected(sessions) as connection:
        try:
            await connection.execute(f"BEGIN; {first}")
            yield connection
        except Exception:
            await connection.execute("ROLLBACK")
            raise
        await connection.execute("COMMIT")
