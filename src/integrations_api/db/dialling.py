"""Connections of the driver's own, which notice it when the other side is gone without a word."""

import os
import socket
from typing import Any

import asyncpg

_KEPT_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""Seconds until the system asks a silent peer, between two questions, how many go unanswered; milliseconds for what was
sent. Not every system has all of them."""

_READ_COMMITTED = "SET default_transaction_isolation = 'read committed'"
"""Who has waited for a lock must see what the one before has done. Not asked for with the connection: PgBouncer refuses
what it does not know there.
"""
_PATIENCE = 10.0


async def connect(dsn: str, **arguments: Any) -> asyncpg.Connection:
    """A connection that counts as lost a minute after its network was cut or its server lost power.

    Neither closes a socket: without this, whoever waits for an answer then would wait for hours. Whatever isolation the
    database or its user has by default, its transactions are as ours are meant.
    """
    connection = await asyncpg.connect(dsn, **{"timeout": _PATIENCE, **arguments})
    _keep_alive(connection._transport.get_extra_info("socket").fileno())
    try:
        await connection.execute(_READ_COMMITTED, timeout=_PATIENCE)
    except BaseException:
        connection.terminate()
        raise
    return connection


def _keep_alive(descriptor: int) -> None:
    # By a socket of our own: uvloop's does not let anybody set options.
    with socket.socket(fileno=os.dup(descriptor)) as same:
        if same.family == socket.AF_UNIX:
            return
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEPT_ALIVE.items():
            if hasattr(socket, name):
                same.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
