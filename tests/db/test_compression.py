"""Long values are compressed by lz4 where the server has it."""

import pytest
from sqlalchemy import text

from integrations_api.db import compression
from integrations_api.db.engine import create_engine

pytestmark = pytest.mark.anyio


async def test_what_is_stored_is_compressed_by_lz4_where_the_server_has_it(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)

    async with engine.begin() as connection:
        known = await connection.scalar(
            text("SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'")
        )
        await connection.execute(text("CREATE TEMP TABLE kept (value text)"))
        await connection.execute(text("INSERT INTO kept VALUES (repeat('an incident ', 1000))"))
        used = await connection.scalar(text("SELECT pg_column_compression(value) FROM kept"))

    await engine.dispose()
    assert used == ("lz4" if "lz4" in known else "pglz")


async def test_a_server_that_has_no_lz4_is_asked_once_and_compresses_in_its_own_way(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(database_url, pool_size=2)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SEQUENCE asked"))
    await engine.dispose()
    monkeypatch.setattr(compression, "_CAN_LZ4", "SELECT nextval('asked') = 0")

    engine = create_engine(database_url, pool_size=2)
    async with engine.connect() as one, engine.connect() as other:
        preferred = [await each.scalar(text("SHOW default_toast_compression")) for each in (one, other)]
        times = await one.scalar(text("SELECT last_value FROM asked"))

    await engine.dispose()
    assert (preferred, times) == (["pglz", "pglz"], 1)


@pytest.mark.parametrize("statement", ["_CAN_LZ4", "_PREFER_LZ4"])
async def test_a_connection_that_is_cut_while_it_is_asked_is_replaced(
    database_url: str, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SEQUENCE cuts"))
    await engine.dispose()
    monkeypatch.setattr(compression, "_CAN_LZ4", "SELECT true")
    monkeypatch.setattr(
        compression, statement, "SELECT pg_terminate_backend(pg_backend_pid()) WHERE nextval('cuts') = 1"
    )
    engine = create_engine(database_url, pool_size=1)

    async with engine.connect() as connection:
        asked = await connection.scalar(text("SELECT last_value FROM cuts"))

    await engine.dispose()
    assert asked == 2
