"""`audit verify`: what fits, and an exit code for what does not."""

import asyncio
import os

import asyncpg
import pytest

from integrations_api.audit.sealing import AuditSealer
from integrations_api.db.engine import asyncpg_dsn
from integrations_api.settings import load_settings
from integrations_api.vault.keys import generate_key
from integrations_api.wiring import assemble
from tests.cli.conftest import Run


def test_a_record_nobody_touched_fits_and_a_stray_entry_does_not(run: Run, on_database: str) -> None:
    run("users", "create", "ada@example.com", "--password-stdin", typed="correct horse battery staple\n")
    fits = run("audit", "verify")
    asyncio.run(_forget_what_waits(on_database))
    stray = run("audit", "verify")

    assert (fits.code, fits.out) == (0, "0 entries in 0 seals fit; 1 waits for the next seal\n")
    assert stray.code == 1
    assert stray.out.endswith("does not fit: entry 1 is in no seal and does not wait for one\n")


async def _forget_what_waits(url: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    await connection.execute("DELETE FROM audit_unsealed")
    await connection.close()


@pytest.mark.usefixtures("on_database")
def test_the_last_line_is_what_is_to_be_noted_also_when_an_old_key_was_taken_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = os.environ["ENCRYPTION_KEYS"], generate_key()
    for number, keys in enumerate((old, f"{new},{old}")):
        monkeypatch.setenv("ENCRYPTION_KEYS", keys)
        run("users", "create", f"ada{number}@example.com", "--password-stdin", typed="correct horse battery staple\n")
        asyncio.run(_seal())
    monkeypatch.setenv("ENCRYPTION_KEYS", new)

    told = run("audit", "verify")

    assert told.code == 0
    assert "1 seal needs a key that is not in ENCRYPTION_KEYS; later seals vouch for it" in told.out
    assert told.out.splitlines()[-1].startswith("link of seal 2: ")


async def _seal() -> None:
    async with assemble(load_settings()) as components:
        await components[AuditSealer].seal()
