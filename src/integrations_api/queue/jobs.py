"""Jobs: how rooms wake a worker. The queue only wakes; what is to be done stands in the room's own rows."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import raw_connection

if TYPE_CHECKING:
    from pgqueuer.adapters.persistence.queries import Queries


class NotDoneYet(Exception):
    """Raised by a job's handler: deliver it again, after so many seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(f"again in {after:g} s")
        self.after = after


async def enqueue(session: AsyncSession, *, entrypoint: str, keys: Sequence[str]) -> None:
    """Adds jobs with these payloads in the session's transaction, but where one with that key waits or is worked on."""
    if not keys:
        return
    queries = await asyncio.to_thread(_import_pgqueuer)
    # SQLAlchemy opens its transaction with the first statement; the driver's own would commit by itself.
    await session.execute(text("SELECT 1"))
    async with raw_connection(session) as driver:
        await queries(driver).enqueue(
            [entrypoint] * len(keys),
            [key.encode() for key in keys],
            [0] * len(keys),
            dedupe_key=[f"{entrypoint}:{key}" for key in keys],
            on_conflict="skip",
        )


def _import_pgqueuer() -> Callable[[asyncpg.Connection], "Queries"]:
    """Takes a tenth of a second the first time: too much for the start of an API, and for its loop."""
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
    from pgqueuer.adapters.persistence.queries import Queries

    return lambda driver: Queries(AsyncpgDriver(driver))
