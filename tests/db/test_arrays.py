"""Arrays and enums are known to new connections, which ask the server for none of them."""

from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import text

from integrations_api.db import arrays
from integrations_api.db.engine import create_engine
from tests.support.databases import plain_url

pytestmark = pytest.mark.anyio

VALUES = {
    "bool": "true", "bytea": r"'\\x00ff'", "int2": "-7", "int4": "7", "int8": "5000000000", "float4": "0.5",
    "float8": "0.1", "timestamp": "'2026-03-01 10:00:00.5'", "date": "'2026-03-01'",
    "timestamptz": "'2026-03-01 10:00:00+02'", "interval": "'3 days 1 hour'", "numeric": "1.50",
    "uuid": "'3f2504e0-4f89-41d3-9a0c-0305e82c3301'", "jsonb": """'{"a": [1, null]}'""",
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The types that connections asked the server for."""
    asked: list[int] = []
    ask = asyncpg.Connection._introspect_types

    async def noted(connection: asyncpg.Connection, oids: Any, *more: Any) -> Any:
        asked.extend(oids)
        return await ask(connection, oids, *more)

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", noted)
    return asked


async def test_the_ids_are_those_of_the_server(database_url: str) -> None:
    connection = await asyncpg.connect(plain_url(database_url))
    rows = await connection.fetch(
        "SELECT typarray::int, typname, oid::int FROM pg_type WHERE typarray = ANY(CAST(CAST($1 AS text[]) AS oid[]))",
        [str(oid) for oid in arrays._ELEMENTS],
    )
    await connection.close()

    assert {(array, (name, oid)) for array, name, oid in rows} == set(arrays._ELEMENTS.items())


@pytest.mark.parametrize("name", [name for name, _ in arrays._ELEMENTS.values()])
async def test_an_array_reads_and_is_sent_as_one_that_was_asked_for(
    database_url: str, asked: list[int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for knows in (True, False):
        if not knows:
            monkeypatch.setattr(arrays, "_ELEMENTS", {})
        engine = create_engine(database_url, pool_size=1)
        async with engine.connect() as connection:
            read = await connection.scalar(text(f"SELECT ARRAY[{VALUES[name]}, NULL, {VALUES[name]}]::{name}[]"))
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            sendable = [one and orjson.dumps(one).decode() for one in read] if name == "jsonb" else read
            sent = await driver.fetchval(f"SELECT CAST($1::{name}[] AS text)", sendable)
        await engine.dispose()
        seen.append((read, sent))
        assert bool(asked) != knows

    assert seen[0] == seen[1]
    assert seen[0][0] is not None


async def test_an_enum_and_its_arrays_are_asked_for_in_one_plain_question(database_url: str, asked: list[int]) -> None:
    connection = await asyncpg.connect(plain_url(database_url))
    arrays.know_arrays(connection)
    await arrays.know_enum(connection, "pgqueuer_status")

    one = await connection.fetchval("SELECT $1::pgqueuer_status", "queued")
    many = await connection.fetchval("SELECT $1::pgqueuer_status[]", ["queued", None, "picked"])
    await connection.close()

    assert (one, many, asked) == ("queued", ["queued", None, "picked"], [])


async def test_an_enum_that_is_not_there_is_no_error(database_url: str) -> None:
    connection = await asyncpg.connect(plain_url(database_url))

    await arrays.know_enum(connection, "no_such_enum")

    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
