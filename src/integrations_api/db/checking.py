"""Connections are checked when they leave the pool, without a round trip where one was in use a moment ago."""

import time
from typing import Any

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine

TRUSTED = 1.0
"""Seconds after its last use in which a connection counts as alive as long as its socket is open.

A server that stops closes its sockets, which the driver is told at once; asking as well cost three round trips at each
of a request's transactions. What a socket cannot tell, such as a network that was cut, is asked of what stood longer.
"""
_PATIENCE = 5.0


def check_connections(engine: AsyncEngine) -> None:
    """Makes the engine's pool replace connections that are dead, before anybody gets one."""
    event.listen(engine.sync_engine, "checkout", _check)
    event.listen(engine.sync_engine, "checkin", _note)


def _note(_: Any, record: Any) -> None:
    record.info["returned"] = time.monotonic()


def _check(connection: Any, record: Any, _: Any) -> None:
    """Raises `InvalidatePoolError`, upon which the pool connects anew. A connection that is new is not asked.

    Of one that is new and closed already it tells as of one that was lost: the pool would give up soon, in words that
    do not say so.
    """
    returned = record.info.get("returned")
    if connection.driver_connection.is_closed():
        if returned is None:
            lost = asyncpg.ConnectionDoesNotExistError("the connection was closed as soon as it was made")
            raise connection.dbapi.OperationalError(str(lost), lost) from lost
        raise exc.InvalidatePoolError
    if returned is None or time.monotonic() - returned < TRUSTED:
        return
    try:
        connection.run_async(_ask)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise exc.InvalidatePoolError from error


async def _ask(driver: asyncpg.Connection) -> None:
    await driver.fetchrow(";", timeout=_PATIENCE)
