"""Arrays are told to each new connection, for the driver would ask the server for them, kind by kind.

What it asks is a recursive statement over the catalogs, which takes the server 10 to 25 ms on a connection that has
just been made: more than all else that a short request or the first step of a sync asks of it.
"""

from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

_ELEMENTS = {
    1000: ("bool", 16),
    1001: ("bytea", 17),
    1005: ("int2", 21),
    1007: ("int4", 23),
    1016: ("int8", 20),
    1021: ("float4", 700),
    1022: ("float8", 701),
    1115: ("timestamp", 1114),
    1182: ("date", 1082),
    1185: ("timestamptz", 1184),
    1187: ("interval", 1186),
    1231: ("numeric", 1700),
    2951: ("uuid", 2950),
    3807: ("jsonb", 3802),
}
"""An array's id, and its elements' name and id: the same in every PostgreSQL (its pg_type.dat)."""
_OF_AN_ENUM = """
    SELECT t.oid, t.typarray, n.nspname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid = to_regtype($1)
"""


def tell_arrays(engine: AsyncEngine) -> None:
    """Makes every connection of the engine know PostgreSQL's own arrays."""
    event.listen(engine.sync_engine, "connect", lambda connection, _: know_arrays(connection.driver_connection))


def know_arrays(driver: asyncpg.Connection) -> None:
    """Only what makes an element is looked up: codecs of one's own must be set before."""
    rows = [_row(oid, f"_{name}", kind=b"b", element=element) for oid, (name, element) in _ELEMENTS.items()]
    driver.get_settings().register_data_types(rows)


async def know_enum(driver: asyncpg.Connection, name: str) -> None:
    """The same for an enum, and for arrays of it; for none if the database has no such enum."""
    found = await driver.fetchrow(_OF_AN_ENUM, name)
    if found is not None:
        rows = [
            _row(found["oid"], name, kind=b"e", schema=found["nspname"]),
            _row(found["typarray"], f"_{name}", kind=b"b", element=found["oid"], schema=found["nspname"]),
        ]
        driver.get_settings().register_data_types(rows)


def _row(oid: int, name: str, *, kind: bytes, element: int = 0, schema: str = "pg_catalog") -> dict[str, Any]:
    """What the driver would have found."""
    return {
        "oid": oid, "ns": schema, "name": name, "kind": kind, "basetype": None, "elemtype": element, "elemdelim": ",",
        "range_subtype": None, "attrtypoids": None, "attrnames": None,
    }  # fmt: skip
