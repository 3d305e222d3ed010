"""Several changes as one statement: one round trip, and all of them happen or none does, without a transaction around.

Each round trip costs the process as much as what it says to the database, and on two cores a change of processes.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import asyncpg
from msgspec import Struct

from integrations_api.db.direct import Row

_PLACE = re.compile(r"\$(\d+)")


class Change(Struct, frozen=True):
    """A statement that changes something, its places numbered from $1, and what stands there."""

    sql: str
    values: Sequence[Any]


async def carry_out(connection: asyncpg.Connection, *changes: Change) -> Row | None:
    """Makes the changes, and gives the row that the first one returns.

    They are made in no order, and each sees the tables as they were before all of them: so no two may touch one row.
    Foreign keys are checked after all of them.
    """
    statement = _together(tuple((change.sql, len(change.values)) for change in changes))
    row: Row | None = await connection.fetchrow(
        statement, *[value for change in changes for value in change.values], record_class=Row
    )
    return row


@lru_cache(maxsize=500)
def _together(parts: tuple[tuple[str, int], ...]) -> str:
    if len(parts) == 1:
        return parts[0][0]
    named, taken = [], 0
    for n, (sql, places) in enumerate(parts):
        named.append(f"change_{n} AS ({_moved(sql, by=taken)})")
        taken += places
    return f"WITH {', '.join(named)} SELECT * FROM change_0"  # nosec B608 # noqa: S608 - our own statements


def _moved(sql: str, *, by: int) -> str:
    """The same statement with its places numbered after those of the ones before it."""
    return _PLACE.sub(lambda place: f"${int(place[1]) + by}", sql)
