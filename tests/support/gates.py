"""Stopping a run at an exact step: its own transaction waits on a lock that the test holds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from integrations_api.db.engine import asyncpg_dsn
from tests.support.processes import PATIENCE

_KEY = 42


@dataclass
class Gate:
    """A closed gate; `reached` waits for somebody to stand before it, `open` lets all pass from then on."""

    connection: "asyncpg.Connection[Any]"

    async def reached(self) -> None:
        async with asyncio.timeout(PATIENCE):
            question = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"
            while not await self.connection.fetchval(question, _KEY):  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.02)

    async def open(self) -> None:
        await self.connection.fetchval("SELECT pg_advisory_unlock($1)", _KEY)


@asynccontextmanager
async def gate(database_url: str, *, when: str) -> AsyncIterator[Gate]:
    """Closed for the transaction that first makes `when` true of the run's row, `NEW` (`OLD` is what it was)."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        await connection.execute(
            f"""
            CREATE OR REPLACE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF {when} THEN PERFORM pg_advisory_xact_lock({_KEY}); END IF;
                RETURN NEW;
            END $$;
            SELECT pg_advisory_lock({_KEY});
            CREATE TRIGGER gate BEFORE UPDATE ON sync_runs FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
            """
        )
        yield Gate(connection)
    finally:
        await connection.close()
