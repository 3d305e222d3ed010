"""Long values are compressed by lz4 where the server has it: an eighth of the work of PostgreSQL's own method.

Set on each new connection rather than written into the schema, so that a dump restores into any server.
"""

from contextlib import suppress

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.db.lost import DATABASE_LOST

_CAN_LZ4 = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
_PREFER_LZ4 = "SET default_toast_compression = lz4"
_PATIENCE = 5.0


def prefer_lz4(engine: AsyncEngine) -> None:
    """Makes every connection of the engine compress by lz4, if its server was built with it."""
    preference = _Preference()
    event.listen(engine.sync_engine, "connect", lambda connection, _: connection.run_async(preference.tell))


class _Preference:
    """Whether the server can is asked once: it makes a list of all its settings to answer."""

    def __init__(self) -> None:
        self._can: bool | None = None

    async def tell(self, driver: asyncpg.Connection) -> None:
        # A connection that was lost meanwhile is replaced by the check of db/checking.py, as any other that is dead;
        # a server that came in place of the one that was asked may refuse.
        with suppress(*DATABASE_LOST):
            if self._can is None:
                self._can = bool(await driver.fetchval(_CAN_LZ4, timeout=_PATIENCE))
            if self._can:
                await driver.execute(_PREFER_LZ4, timeout=_PATIENCE)
