"""Connections are checked when they leave the pool, without a round trip where one was in use a moment ago.

And nobody keeps one for ever.
"""

import asyncio
import time
from typing import Any

import asyncpg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.db.lost import DATABASE_LOST

TRUSTED = 1.0
"""Seconds after its last use in which a connection counts as alive as long as its socket is open.

A server that stops closes its sockets, which the driver is told at once; asking as well cost three round trips at each
of a request's transactions. What a socket cannot tell, such as a network that was cut, is asked of what stood longer.
"""
LONGEST = 3600.0
"""Seconds for which anybody has a connection, longer than any statement of ours takes; then it is cut. A server that
stands still closes none, also when another has taken over: who waited for its answer would wait for ever, and after as
many requests as the pool has connections the process could answer no more.
"""
_PATIENCE = 5.0


def check_connections(engine: AsyncEngine) -> None:
    """Makes the engine's pool replace connections that are dead, before anybody gets one, and cut one kept too long."""
    event.listen(engine.sync_engine, "checkout", _check)
    event.listen(engine.sync_engine, "checkin", _note)
    event.listen(engine.sync_engine, "handle_error", _leave_a_standby)


def _leave_a_standby(context: Any) -> None:
    """After a failover the address may lead elsewhere, while the connections of the pool still lead where they did."""
    if isinstance(getattr(context.original_exception, "__cause__", None), asyncpg.ReadOnlySQLTransactionError):
        context.is_disconnect = True


def _note(_: Any, record: Any) -> None:
    record.info["returned"] = time.monotonic()
    end: asyncio.TimerHandle | None = record.record_info.pop("end", None)
    if end is not None:
        end.cancel()


def _check(connection: Any, record: Any, _: Any) -> None:
    """Raises `InvalidatePoolError`, upon which the pool connects anew; a connection that is new is not asked.

    Where that one is closed at once, too, it tells so as of one that was lost: the pool would give up in other words.
    """
    if _is_alive(connection, record.info.get("returned")):
        record.record_info.pop("replaced", None)
        cut = connection.driver_connection.terminate
        record.record_info["end"] = asyncio.get_running_loop().call_later(LONGEST, cut)
        return
    if record.record_info.pop("replaced", None):
        lost = asyncpg.ConnectionDoesNotExistError("the connection was closed as soon as it was made, twice")
        raise connection.dbapi.OperationalError(str(lost), lost) from lost
    record.record_info["replaced"] = True
    raise exc.InvalidatePoolError


def _is_alive(connection: Any, returned: float | None) -> bool:
    if connection.driver_connection.is_closed():
        return False
    if returned is None or time.monotonic() - returned < TRUSTED:
        return True
    try:
        connection.run_async(_ask)
    except DATABASE_LOST:
        return False
    return True


async def _ask(driver: asyncpg.Connection) -> None:
    await driver.fetchrow(";", timeout=_PATIENCE)
