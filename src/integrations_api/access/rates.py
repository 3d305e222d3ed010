"""Allowances for expensive routes, by user, the same for every replica.

A bucket is one moment: the one from which all of the allowance is there again. Each request moves it on by its share;
what would move it too far ahead is refused. One statement, one row: docs/decisions/rate-limits.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, unique
from math import ceil
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from integrations_api.access.models import RateBucket
from integrations_api.db.engine import Sessions
from integrations_api.errors import TooManyRequests


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many at once, and so many a minute in the long run."""

    at_once: int
    a_minute: int


@unique
class Rate(Enum):
    """Which allowance a route draws from; all of a user's credentials draw from the same."""

    TRIAL = Allowance(at_once=10, a_minute=20)
    EXPORT = Allowance(at_once=10, a_minute=30)
    SEARCH = Allowance(at_once=100, a_minute=600)
    CONNECT = Allowance(at_once=10, a_minute=12)
    CALLBACK = Allowance(at_once=20, a_minute=30)
    """Drawn from by address, for nobody is signed in there."""


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
        async with self._sessions() as session:
            # One statement is a transaction of its own: two round trips less in each request.
            await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            now = func.clock_timestamp()
            taken = insert(RateBucket).values(key=key, full_at=now + share)
            taken = taken.on_conflict_do_update(
                index_elements=["key"],
                set_={"full_at": func.greatest(RateBucket.full_at, now) + share},
                where=RateBucket.full_at + share <= now + most,
            )
            if (await session.execute(taken.returning(RateBucket.key))).first() is not None:
                return
            full_at, at = (await session.execute(select(RateBucket.full_at, now).where(RateBucket.key == key))).one()
        raise _refused(full_at + share - most, at)

    async def prune(self) -> None:
        """Forgets full buckets: one that is not there is full too."""
        async with self._sessions.begin() as session:
            await session.execute(delete(RateBucket).where(RateBucket.full_at < func.clock_timestamp()))


def _refused(again_at: datetime, now: datetime) -> TooManyRequests:
    seconds = max(1, ceil((again_at - now).total_seconds()))
    return TooManyRequests(f"Too many requests of this kind: wait {seconds} seconds", retry_after=seconds)
