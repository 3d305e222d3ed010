"""Jobs: how rooms wake a worker. The queue only wakes; what is to be done stands in the room's own rows."""

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import raw_connection

Handler = Callable[[str], Awaitable[None]]
"""Gets a job's key; returns when the job is done, raises `NotDoneYet` to get it again."""


class NotDoneYet(Exception):
    """Raised by a job's handler: deliver it again, after so many seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(f"again in {after:g} s")
        self.after = after


async def enqueue(session: AsyncSession, *, entrypoint: str, keys: Sequence[str]) -> None:
    """Adds jobs with these payloads in the session's transaction, but where one with that key waits or is worked on."""
    if not keys:
        return
    from integrations_api.queue.adding import add

    # SQLAlchemy opens its transaction with the first statement; the driver's own would commit by itself.
    await session.execute(text("SELECT 1"))
    async with raw_connection(session) as driver:
        await add(driver, entrypoint=entrypoint, keys=keys)
