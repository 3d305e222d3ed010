"""Jobs: how rooms wake a worker. The queue only wakes; what is to be done stands in the room's own rows."""

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import raw_connection


class NotDoneYet(Exception):
    """Raised by a job's handler: deliver it again, after so many seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(f"again in {after:g} s")
        self.after = after


async def enqueue(session: AsyncSession, *, entrypoint: str, key: str) -> None:
    """Adds a job with payload `key` in the session's transaction, unless one with that key waits or is worked on."""
    # SQLAlchemy opens its transaction with the first statement; the driver's own would commit by itself.
    await session.execute(text("SELECT 1"))
    async with raw_connection(session) as driver:
        await Queries(AsyncpgDriver(driver)).enqueue(
            entrypoint, key.encode(), dedupe_key=f"{entrypoint}:{key}", on_conflict="skip"
        )
