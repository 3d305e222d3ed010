"""Adding jobs by PgQueuer, which takes a tenth of a second to import: the API does that once it answers."""

from collections.abc import Sequence

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries


async def add(connection: asyncpg.Connection, *, entrypoint: str, keys: Sequence[str]) -> None:
    """Adds jobs with these payloads, but where one with that key waits or is worked on."""
    await Queries(AsyncpgDriver(connection)).enqueue(
        [entrypoint] * len(keys),
        [key.encode() for key in keys],
        [0] * len(keys),
        dedupe_key=[f"{entrypoint}:{key}" for key in keys],
        on_conflict="skip",
    )
