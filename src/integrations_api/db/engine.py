"""Engine, sessions, and transactions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from integrations_api.db.arrays import tell_arrays
from integrations_api.db.checking import check_connections
from integrations_api.db.compression import prefer_lz4
from integrations_api.db.dialling import connect
from integrations_api.db.ending import EndingConnection

Sessions = async_sessionmaker[AsyncSession]


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


IDLE_LIMIT = timedelta(seconds=10)


def create_engine(url: str, *, pool_size: int, idle_limit: timedelta = IDLE_LIMIT) -> AsyncEngine:
    """An engine whose connections are checked before use, so that a database restart costs no request.

    A transaction that stands idle for `idle_limit` is ended by the server: a process that was stopped in the middle
    of one must not keep its row locks from the process that takes over.
    """
    engine = create_async_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        hide_parameters=True,  # An error text must not carry a row's values into the log.
        json_serializer=_dumps,
        json_deserializer=orjson.loads,
        async_creator=connector(
            url,
            connection_class=EndingConnection,
            # The driver prepares longer statements anew each time, and the one that scores many terms has 17,000 bytes.
            max_cacheable_statement_size=50_000,
            server_settings={
                "application_name": "integrations-api",
                "jit": "off",
                # Our statements are short: starting parallel workers cost more than they brought (a diff took twice).
                "max_parallel_workers_per_gather": "0",
                "idle_in_transaction_session_timeout": str(int(idle_limit.total_seconds() * 1000)),
            },
        ),
    )
    check_connections(engine)
    prefer_lz4(engine)
    tell_arrays(engine)
    return engine


async def close_engine(engine: AsyncEngine) -> None:
    """Closes what is in the pool, at the end of a process. The server is not asked: one that stands still, or cannot be
    reached, would let us wait for its goodbye on each connection.
    """
    event.listen(engine.sync_engine, "close", lambda connection, _: connection.driver_connection.terminate())
    await engine.dispose()


def connector(url: str, **arguments: Any) -> Callable[[], Awaitable[asyncpg.Connection]]:
    """What opens connections for an engine by the driver's reading of the URL: `sslmode` and its like mean what they
    do to `psql`, while SQLAlchemy would hand them over as arguments that the driver does not know.
    """
    dsn = asyncpg_dsn(url)

    async def dial() -> asyncpg.Connection:
        return await connect(dsn, **arguments)

    return dial


def create_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions whose objects stay readable after commit, as they were read: UPDATE and DELETE leave them alone."""
    return async_sessionmaker(engine, expire_on_commit=False, execution_options={"synchronize_session": False})


@asynccontextmanager
async def raw_connection(session: AsyncSession) -> AsyncIterator[asyncpg.Connection]:
    """The asyncpg connection under a session, for COPY and for enqueueing in the same transaction.

    SQLAlchemy opens the transaction with its first statement: execute one through the session before using
    this, or what is written here commits by itself.
    """
    connection = await session.connection()
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert driver is not None
    yield driver


def sqlalchemy_url(url: str) -> str:
    """The same database as SQLAlchemy spells it, whichever driver the URL names."""
    return make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def asyncpg_dsn(url: str | URL) -> str:
    """The same database as asyncpg spells it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def is_timeout(error: DBAPIError) -> bool:
    """Whether the server broke a statement off, because it took longer than it was given."""
    return isinstance(cause_of(error), asyncpg.QueryCanceledError)


def cause_of(error: BaseException) -> BaseException:
    """The driver's own error, where SQLAlchemy has wrapped one."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def is_disk_full(error: BaseException) -> bool:
    """Whether the server has no space left; it undid the transaction, and reads go on."""
    return isinstance(cause_of(error), asyncpg.DiskFullError)


def is_full(error: BaseException) -> bool:
    """Whether every connection of the server is taken."""
    return isinstance(cause_of(error), asyncpg.TooManyConnectionsError)


def is_read_only(error: BaseException) -> bool:
    """Whether the server only lets itself be read: a standby, or a primary that was put into that state."""
    return isinstance(cause_of(error), asyncpg.ReadOnlySQLTransactionError)


def is_contended(error: BaseException) -> bool:
    """Whether others hold what was wanted: the server ended a deadlock, or a wait for a lock that it gives a time."""
    return isinstance(cause_of(error), asyncpg.DeadlockDetectedError | asyncpg.LockNotAvailableError)


def is_shut_out(error: BaseException) -> bool:
    """Whether the server does not let us in: its password or its rules were changed, or the database is not there."""
    return isinstance(cause_of(error), asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError)


def cannot_write(error: BaseException) -> bool:
    """Whether only writing is not possible at the moment: what merely notes that somebody reads may be left out."""
    return is_disk_full(error) or is_read_only(error)


def is_forbidden(error: BaseException) -> bool:
    """Whether our user lacks a right; only the database's owner can help."""
    return isinstance(cause_of(error), asyncpg.InsufficientPrivilegeError)


def is_lost_connection(error: BaseException) -> bool:
    """Whether the database went away under a statement (restart, failover, network, no space, memory or connection
    left), does not let us in, can only be read, or ended it for the sake of others: nothing was done, and trying again
    may work.
    """
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if is_contended(error) or is_shut_out(error):
        return True
    return isinstance(
        cause_of(error),
        asyncpg.PostgresConnectionError
        | asyncpg.InterfaceError
        # What asyncpg says between the server's last word and the end of the socket.
        | asyncpg.InternalClientError
        | asyncpg.OperatorInterventionError
        | asyncpg.InsufficientResourcesError
        # A standby ends what reads a row that its primary has taken away.
        | asyncpg.SerializationError
        | asyncpg.ReadOnlySQLTransactionError
        | PoolTimeoutError
        | OSError,
    )
