"""Allowances for expensive routes, by user, the same for every replica.

A bucket is one moment: the one from which all of the allowance is there again. Each request moves it on by its share;
what would move it too far ahead is refused. One statement, one row: docs/decisions/rate-limits.md.
"""

from datetime import datetime, timedelta
from enum import Enum, unique
from math import ceil
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func
from sqlalchemy.exc import DBAPIError

from integrations_api.access.models import RateBucket
from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions, cannot_write
from integrations_api.errors import TooManyRequests


class Allowance(Struct, frozen=True):
    """So many at once, and so many a minute in the long run."""

    at_once: int
    a_minute: int


@unique
class Rate(Enum):
    """Which allowance a route draws from; all of a user's credentials draw from the same."""

    TRIAL = Allowance(at_once=10, a_minute=20)
    EXPORT = Allowance(at_once=10, a_minute=30)
    DIFF = Allowance(at_once=100, a_minute=500)
    SEARCH = Allowance(at_once=300, a_minute=600)
    CONNECT = Allowance(at_once=10, a_minute=12)
    TICKET = Allowance(at_once=100, a_minute=100)
    KEY = Allowance(at_once=50, a_minute=10)
    DENIAL = Allowance(at_once=100, a_minute=60)
    """What is denied to a user is refused beyond this, too; it is no longer written into the audit."""
    CALLBACK = Allowance(at_once=20, a_minute=30)
    """Drawn from by address, for nobody is signed in there."""


# Nobody waits for the disk: what a crash forgets of the last moment, the caller may ask again.
_TAKE = """
    INSERT INTO rate_buckets AS b (key, full_at) VALUES ($1, clock_timestamp() + CAST($2 AS interval))
    ON CONFLICT (key) DO UPDATE SET full_at = greatest(b.full_at, clock_timestamp()) + CAST($2 AS interval)
    WHERE b.full_at + CAST($2 AS interval) <= clock_timestamp() + CAST($3 AS interval)
    RETURNING set_config('synchronous_commit', 'off', true)
"""
_LOOK = "SELECT full_at, clock_timestamp() FROM rate_buckets WHERE key = $1"


class Rates:
    """Counts what users draw. `factor` multiplies all allowances; zero switches them off."""

    def __init__(self, *, sessions: Sessions, factor: float = 1.0) -> None:
        self._sessions = sessions
        self._factor = factor

    async def draw(self, rate: Rate, who: UUID | str) -> None:
        """One request of a user, or of an address. Raises `TooManyRequests`."""
        if self._factor <= 0:
            return
        share = timedelta(minutes=1) / (rate.value.a_minute * self._factor)
        most = share * max(rate.value.at_once * self._factor, 1)
        key = f"{rate.name.lower()}:{who}"
        try:
            async with connected(self._sessions) as connection:
                if await connection.fetchrow(_TAKE, key, share, most):
                    return
                found = await connection.fetchrow(_LOOK, key)
        except DBAPIError as error:
            if cannot_write(error):  # Reading goes on, uncounted; what else is limited writes, and is refused there.
                return
            raise
        if found is not None:  # Else it has become full since, and was pruned.
            raise _refused(found["full_at"] + share - most, found["clock_timestamp"])

    async def prune(self) -> None:
        """Forgets full buckets: one that is not there is full too."""
        async with self._sessions.begin() as session:
            await session.execute(delete(RateBucket).where(RateBucket.full_at < func.clock_timestamp()))


def _refused(again_at: datetime, now: datetime) -> TooManyRequests:
    seconds = max(1, ceil((again_at - now).total_seconds()))
    return TooManyRequests("Too many requests of this kind", retry_after=seconds)
