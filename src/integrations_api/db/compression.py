"""Long values are compressed by lz4 where the server has it: an eighth of the work of PostgreSQL's own method.

Asked of each new connection rather than written into the schema, so that a dump restores into any server.
"""

from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.db.lost import DATABASE_LOST

_PREFER_LZ4 = """
    SELECT set_config(name, 'lz4', false) FROM pg_settings
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)
"""
_PATIENCE = 5.0


def prefer_lz4(engine: AsyncEngine) -> None:
    """Makes every connection of the engine compress by lz4, if its server was built with it."""
    event.listen(engine.sync_engine, "connect", _ask)


def _ask(connection: Any, _: Any) -> None:
    connection.run_async(_prefer)


async def _prefer(driver: asyncpg.Connection) -> None:
    # A connection that was lost meanwhile is replaced by the check of db/checking.py, as any other that is dead.
    with suppress(*DATABASE_LOST):
        await driver.execute(_PREFER_LZ4, timeout=_PATIENCE)
