"""`audit verify`: what fits, and an exit code for what does not."""

import asyncio

import asyncpg

from integrations_api.db.engine import asyncpg_dsn
from tests.cli.conftest import Run


def test_a_record_nobody_touched_fits_and_a_stray_entry_does_not(run: Run, on_database: str) -> None:
    run("users", "create", "ada@example.com", "--password-stdin", typed="correct horse battery staple\n")
    fits = run("audit", "verify")
    asyncio.run(_forget_what_waits(on_database))
    stray = run("audit", "verify")

    assert (fits.code, fits.out) == (0, "0 entries in 0 seals fit; 1 wait for the next seal\n")
    assert stray.code == 1
    assert stray.out.endswith("does not fit: entry 1 is in no seal and does not wait for one\n")


async def _forget_what_waits(url: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    await connection.execute("DELETE FROM audit_unsealed")
    await connection.close()
