"""Stopping a run at an exact step: its own transaction waits on a lock that the test holds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from integrations_api.db.engine import asyncpg_dsn
from tests.support.processes import PATIENCE

_KEY = 42
# Other tests have gates in other databases of the same server, where `pg_locks` shows them all.
_SOMEBODY_WAITS = """
    SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objid = $1 AND NOT l.granted
"""


@dataclass
class Gate:
    """A closed gate; `reached` waits for somebody to stand before it, `open` lets all pass from then on."""

    connection: "asyncpg.Connection[Any]"

    async def reached(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await self.connection.fetchval(_SOMEBODY_WAITS, _KEY):  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.02)

    async def open(self) -> None:
        await self.connection.fetchval("SELECT pg_advisory_unlock($1)", _KEY)


@asynccontextmanager
async def gate(database_url: str, *, when: str, at: str = "UPDATE ON sync_runs") -> AsyncIterator[Gate]:
    """Closed for the transaction that first makes `when` true of the run's row, `NEW` (`OLD` is what it was).

    `at` names another change, of another table.
    """
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        await connection.execute(
            f"""
            CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF {when} THEN PERFORM pg_advisory_xact_lock({_KEY}); END IF;
                RETURN coalesce(NEW, OLD);
            END $$;
            SELECT pg_advisory_lock({_KEY});
            CREATE TRIGGER gate BEFORE {at} FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
            """
        )
        yield Gate(connection)
    finally:
        await connection.close()


def publishing_gate(database_url: str) -> AbstractAsyncContextManager[Gate]:
    """Keeps a sync at the step that makes its version the head."""
    return gate(database_url, when="NEW.head IS NOT NULL", at="UPDATE ON datasets")
