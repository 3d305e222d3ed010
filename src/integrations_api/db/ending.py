"""The end of a transaction, which alone of all statements nobody can call off, is not waited for without end.

SQLAlchemy ends transactions, and gives connections back, in a task of its own, for which it waits also when whoever
wanted that is cancelled. A server that stands still closes no connection, also when another has taken over.
"""

from datetime import timedelta
from typing import Any

import asyncpg

PATIENCE = timedelta(minutes=1)
_ENDS = frozenset({"COMMIT", "ROLLBACK", "COMMIT;", "ROLLBACK;"})
"""As we and the driver's own transactions spell them."""


class EndingConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg comes without types
    """The driver's, whose commits and rollbacks raise `TimeoutError` when no answer comes."""

    async def execute(self, query: str, *values: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """Statements without an answer in rows. A commit that is given up may have been done all the same."""
        bound = PATIENCE.total_seconds() if timeout is None and query in _ENDS else timeout
        done: str = await super().execute(query, *values, timeout=bound)
        return done
