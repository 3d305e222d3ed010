"""The audit is read by those who may, narrowed, in pages, and exported whole."""

import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.audit import reading as module
from integrations_api.audit.sealing import AuditSealer
from integrations_api.audit.service import record
from tests.support.applications import LiveApp, live_app

pytestmark = pytest.mark.anyio


@pytest.fixture
async def live(database_url: str) -> AsyncIterator[LiveApp]:
    async with live_app(database_url) as running:
        yield running


async def write(live: LiveApp, *actions: str) -> None:
    for action in actions:
        async with live.components[async_sessionmaker].begin() as session:
            await record(session, action=action, object_type="thing", object_id=action[-1], actor="worker")


async def test_entries_come_newest_first_in_pages(live: LiveApp) -> None:
    await write(live, *(f"deed.{n}" for n in range(5)))
    reader = await live.credentials(["audit.view"])

    first = (await live.client.get("/audit?object_type=thing&limit=3", headers=reader)).json()
    path = f"/audit?object_type=thing&limit=3&cursor={first['next_cursor']}"
    second = (await live.client.get(path, headers=reader)).json()

    assert [entry["action"] for entry in first["entries"] + second["entries"]] == [f"deed.{n}" for n in (4, 3, 2, 1, 0)]
    assert second["next_cursor"] is None
    assert first["entries"][0]["at"].endswith("Z")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"action": "deed.1"}, ["deed.1"]),
        ({"object_type": "thing", "object_id": "2"}, ["deed.2"]),
        ({"actor": "worker"}, ["deed.2", "deed.1"]),
        ({"actor": " Worker "}, ["deed.2", "deed.1"]),
        ({"actor": "nobody"}, []),
        ({"actor": "worker", "since": "2100-01-01T00:00:00Z"}, []),
        ({"actor": "worker", "until": "2100-01-01T00:00:00Z"}, ["deed.2", "deed.1"]),
    ],
)
async def test_filters_narrow(live: LiveApp, query: dict[str, str], found: list[str]) -> None:
    await write(live, "deed.1", "deed.2")

    answer = await live.client.get("/audit", params=query, headers=await live.credentials(["audit.view"]))

    assert [entry["action"] for entry in answer.json()["entries"]] == found


@pytest.mark.parametrize("moment", ["2026-03-01T10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_time_without_a_zone_or_without_a_date_in_utc_is_malformed(live: LiveApp, moment: str) -> None:
    headers = await live.credentials()
    paths = ("/audit", "/audit/export")
    answers = [await live.client.get(path, params={"since": moment}, headers=headers) for path in paths]

    assert [(answer.status_code, answer.json()["errors"][0]["field"]) for answer in answers] == [(422, "since")] * 2


async def test_an_export_has_every_entry_oldest_first_and_is_an_entry_itself(
    live: LiveApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPORT_PAGE", 2)
    await write(live, *(f"deed.{n}\u2028" for n in range(5)))
    reader = await live.credentials(["audit.view"])

    answer = await live.client.get("/audit/export", headers=reader)

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["action"] for line in lines if line["object_type"] == "thing"] == [f"deed.{n}\u2028" for n in range(5)]
    assert lines[-1]["action"] == "audit.export"
    assert answer.headers["Content-Type"] == "application/x-ndjson"


async def test_who_may_not_read_it_does_not(live: LiveApp) -> None:
    headers = await live.credentials(["knowledge.view", "user.manage"])

    answers = [await live.client.get(path, headers=headers) for path in ("/audit", "/audit/export")]

    assert [answer.status_code for answer in answers] == [403, 403]


@pytest.mark.parametrize("table", ["audit_entries", "audit_seals"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = NULL", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_is_written_stays_written(live: LiveApp, change: str, table: str) -> None:
    await write(live, "deed.1")
    await live.components[AuditSealer].seal()

    with pytest.raises(IntegrityError, match=f"rows of {table} are only ever added"):
        async with live.components[AsyncEngine].begin() as connection:
            await connection.execute(text(change.format(table, "actor" if table == "audit_entries" else "mac")))
