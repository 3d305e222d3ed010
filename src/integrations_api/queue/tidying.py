"""What the queue leaves behind: PgQueuer writes down what became of every job, and never forgets it."""

from datetime import timedelta

from sqlalchemy import CursorResult, text

from integrations_api.clock import Clock
from integrations_api.db.engine import Sessions

KEPT = timedelta(days=1)
"""How long it is told what became of a job, and that a worker was killed. What a run did stands with the run."""
PIECE = 5000
"""Rows deleted in one transaction."""

_OLD = (
    """
    DELETE FROM pgqueuer_log WHERE id IN (
        SELECT id FROM pgqueuer_log WHERE created < :before ORDER BY created LIMIT :many FOR UPDATE SKIP LOCKED)
    """,
    """
    DELETE FROM pgqueuer_statistics WHERE id IN (
        SELECT id FROM pgqueuer_statistics WHERE created < :before LIMIT :many FOR UPDATE SKIP LOCKED)
    """,
    # A worker that ends in peace takes its row away itself.
    """
    DELETE FROM workers WHERE id IN (
        SELECT id FROM workers WHERE seen_at < :before LIMIT :many FOR UPDATE SKIP LOCKED)
    """,
)


class QueueTidying:
    """Every worker does it; what two of them do at the same time is done once."""

    def __init__(self, *, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    async def forget(self) -> None:
        """Deletes what is older than `KEPT`, in short transactions."""
        for statement in _OLD:
            while await self._forget_some(statement) == PIECE:
                pass

    async def _forget_some(self, statement: str) -> int:
        async with self._sessions.begin() as session:
            done = await session.execute(text(statement), {"before": self._clock() - KEPT, "many": PIECE})
        assert isinstance(done, CursorResult)
        return done.rowcount
