"""One sync after another, by the real engine and queue on a real PostgreSQL, from a source in memory."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import inspect

from integrations_api.clock import to_wire
from integrations_api.connectors.errors import Refused
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge import staging
from integrations_api.knowledge.diffing import DiffQuestion
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.sync import intake
from integrations_api.sync.service import SyncService
from tests.support.syncing import Bench, bench
from tests.support.terms import assert_counts_are_exact

pytestmark = pytest.mark.anyio


async def test_eighteen_incidents_in_one_page_give_the_contracts_seven_events(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(18)
        integration = await b.integration()

        run = await b.sync(integration)

        events = await b.events(run.id)
        assert [name for name, _ in events] == ["progress"] * 6 + ["complete"]
        assert [data["message"] for _, data in events[:-1]] == [
            "Fetching incidents from ServiceNow...",
            "Ingesting 18 incidents in 4 batch(es)...",
            "Batch 1 of 4 processed (5 incidents)",
            "Batch 2 of 4 processed (5 incidents)",
            "Batch 3 of 4 processed (5 incidents)",
            "Batch 4 of 4 processed (3 incidents)",
        ]
        assert events[5][1]["incidents"] == ["INC00016", "INC00017", "INC00018"]
        stats = events[-1][1]["stats"]
        assert list(stats)[:3] == ["added", "total", "last_synced"]
        assert (stats["added"], stats["total"], stats["version"]) == (18, 18, 1)
        assert stats["verdict"]["state"] == "complete"


async def test_only_what_changed_is_ingested_and_becomes_a_new_version(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(7)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00003", title="Mail is up")
        b.source.change("INC00004")
        b.source.add("INC00008")

        run = await b.sync(integration)

        assert (run.mode, run.added, run.updated, run.version) == ("incremental", 1, 1, 2)
        assert (await b.titles(integration))["INC00003"] == "Mail is up"
        assert (await b.titles(integration, 1))["INC00003"] == "Mail is down"
        assert len(await b.titles(integration)) == 8


async def test_a_sync_that_finds_nothing_new_makes_no_version(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00002")

        run = await b.sync(integration)

        assert run.version is None
        assert [name for name, _ in await b.events(run.id)] == ["progress", "complete"]
        stamps = await b.rows("SELECT source_updated_at FROM revisions WHERE number = 'INC00002'")
        assert [row.source_updated_at for row in stamps] == [b.source.now()]


async def test_a_sync_that_finds_nothing_new_says_so_and_moves_the_time_of_the_last_one(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        await b.change("UPDATE integrations SET last_synced_at = '2026-03-01', shown_last_synced = '2026-03-01'")

        run = await b.sync(integration)

        told = (await b.events(run.id))[-1][1]
        assert run.finished_at is not None
        at = to_wire(run.finished_at)
        assert (told["stats"]["added"], told["stats"]["total"], told["stats"]["version"]) == (0, 0, None)
        assert told["stats"]["last_synced"] == at
        assert told["integration"] == await shown(b, integration)
        assert (told["integration"]["last_synced_at"], told["integration"]["config"]["lastSynced"]) == (at, at)


async def shown(b: Bench, integration: UUID) -> dict[str, Any]:
    """An integration as clients see it."""
    return (await b.components[IntegrationService].get(integration)).integration


async def test_a_sync_that_makes_no_version_moves_the_stamps_of_the_head_alone(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        first = await read_from(b, integration, 1)
        b.source.change("INC00003", title="Mail is up")
        await b.sync(integration)
        second = await read_from(b, integration, 2)

        for _ in range(2):  # The first time it gets a revision of its own, then that one moves.
            b.source.change("INC00001")
            b.source.change("INC00003")
            assert (await b.sync(integration)).version is None
        moved = await read_from(b, integration, 2)
        b.source.change("INC00001", title="It was the printer")
        await b.sync(integration)

        assert await read_from(b, integration, 1) == first
        assert await read_from(b, integration, 2) == moved
        pairs = list(zip(moved, second, strict=True))
        later = [one["number"] for one, two in pairs if one["source_updated_at"] > two["source_updated_at"]]
        assert later == ["INC00001", "INC00003"]
        assert all(one == {**two, **{name: one[name] for name in STAMPS}} for one, two in pairs)
        diff = await b.components[KnowledgeService].diff(DiffQuestion(integration, base=1, version=3))
        assert diff.counts == {"added": 0, "changed": 2, "removed": 0}
        await assert_counts_are_exact(b.sessions, integration)


STAMPS = ("source_updated_at", "synced_at")


async def read_from(b: Bench, integration: UUID, version: int) -> list[dict[str, Any]]:
    """What a version says of each incident, by number."""
    knowledge = b.components[KnowledgeService]
    return (await knowledge.incidents(integration, version, after=None, limit=100, tombstones=True)).incidents


async def test_a_deleted_incident_becomes_a_tombstone(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(4)
        integration = await b.integration()
        await b.sync(integration)
        b.source.remove("INC00002")

        run = await b.sync(integration)

        assert (run.deleted, run.version) == (1, 2)
        assert sorted(await b.titles(integration)) == ["INC00001", "INC00003", "INC00004"]
        assert b.source.suspected == {"id-INC00002": "INC00002"}
        tombs = await b.rows("SELECT number, reason FROM revisions WHERE change = 'deleted'")
        assert [(t.number, t.reason) for t in tombs] == [("INC00002", "deleted")]


async def test_a_failed_sync_leaves_no_trace_in_what_is_read(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.page_size = 2
        b.source.fill(6)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="changed")
        b.source.change("INC00005", title="changed")
        b.source.change("INC00006", title="changed")
        b.source.fail_at_page, b.source.failure = b.source.pages_read + 1, Refused("Connection timeout", "Wait")
        await b.change("UPDATE integrations SET last_synced_at = '2026-03-01'")
        before = await shown(b, integration)

        run = await b.sync(integration)

        assert (run.state, run.remedy) == ("failed", "Wait")
        last = (await b.events(run.id))[-1]
        assert last == (
            "error",
            {"success": False, "message": "Failed to fetch incidents from ServiceNow: Connection timeout"},
        )
        assert set((await b.titles(integration)).values()) == {"Mail is down"}
        after = await shown(b, integration)
        assert (after["last_sync_status"], after["last_sync_error"]) == ("error", last[1]["message"])
        moved = ("last_sync_status", "last_sync_error", "updated_at")
        assert after == before | {name: after[name] for name in moved}
        b.source.failure = None
        assert (await b.sync(integration)).updated == 3


async def test_a_record_that_cannot_be_mapped_is_listed_and_tried_again(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.rows["id-INC00002"]["number"] = ""
        integration = await b.integration()

        first = await b.sync(integration)

        assert (first.added, first.rejected) == (2, 1)
        rejected = await b.rows("SELECT reason FROM rejected_records WHERE run_id = :run", run=first.id)
        assert [row.reason for row in rejected] == ["it has no number"]
        (listed,), _ = await b.components[SyncService].list_rejected(first.id, limit=1000, cursor=None)
        assert inspect(listed).unloaded == {"raw"}  # A thousand of them may be megabytes each.
        assert first.verdict is not None
        assert first.verdict["state"] == "short"
        second = await b.sync(integration)
        assert second.rejected == 1
        b.source.change("INC00002", number="INC00002")
        third = await b.sync(integration)
        assert (third.added, third.rejected) == (1, 0)
        assert third.verdict is not None
        assert third.verdict["state"] == "complete"


async def test_of_what_can_never_be_mapped_one_copy_is_kept_however_many_syncs_try_it_again(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        for number in ("INC00001", "INC00002"):
            b.source.rows[f"id-{number}"]["number"] = ""
        integration = await b.integration()
        runs = [await b.sync(integration) for _ in range(3)]
        b.source.remove("INC00001")
        runs.append(await b.sync(integration))

        kept = await b.rows("SELECT external_id, run_id, raw FROM rejected_records WHERE raw <> ''")

        assert [run.rejected for run in runs] == [2, 2, 2, 1]
        assert [(row.external_id, row.run_id, "id-INC00002" in row.raw) for row in kept] == [
            ("id-INC00002", runs[-1].id, True)
        ]
        b.source.change("INC00002", number="INC00002")
        assert (await b.sync(integration)).rejected == 0


async def test_a_record_of_which_too_much_came_to_be_stored_is_listed_as_long_as_it_is_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "LARGEST", 1000)
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.change("INC00002", text="x" * 1000)
        integration = await b.integration()
        first = await b.sync(integration)
        b.source.ticks += 3600

        later = await b.sync(integration)
        b.source.remove("INC00002")
        last = await b.sync(integration)

        assert [(run.added, run.rejected) for run in (first, later, last)] == [(2, 1), (0, 1), (0, 0)]
        assert later.verdict is not None
        assert later.verdict["why"] == "1 could not be mapped: see the run's rejected records"
        assert await b.rows("SELECT 1 FROM rejected_records WHERE NOT resolved") == []


async def test_two_integrations_that_read_one_source_keep_apart(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.rows["id-INC00003"]["number"] = ""
        one, other = await b.integration(), await b.integration()
        await b.sync(one)
        before = await kept_of(b, one)
        b.source.unlisted.add("id-INC00003")
        b.source.rows["id-INC00002"]["number"] = ""
        later = {"id": "id-INC00004", "created": "2099-01-01T00:00:00+00:00"}
        b.source.rows["id-INC00004"] = b.source.rows["id-INC00002"] | later

        run = await b.sync(other)

        assert (run.added, run.rejected) == (1, 2)
        assert run.verdict is not None
        assert run.verdict["ids"] == ["id-INC00002"]
        assert await kept_of(b, one) == before
        assert len(before) == 3 + 1 + 2


async def kept_of(b: Bench, integration: UUID) -> list[Any]:
    """The records of a dataset, those that could not be mapped, and its revisions."""
    tables = ("raw_records", "rejected_records", "revisions")
    statement = " UNION ALL ".join(f"SELECT t::text AS row FROM {table} t WHERE dataset_id = :id" for table in tables)
    return sorted(row.row for row in await b.rows(statement, id=integration))


async def test_where_too_many_cannot_be_mapped_each_has_its_turn_to_be_tried_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "MOST_TRIED_AGAIN", 2)
    async with bench(database_url) as b:
        b.source.fill(4)
        for number in ("INC00001", "INC00002", "INC00003"):
            b.source.rows[f"id-{number}"]["number"] = ""
        integration = await b.integration()
        await b.sync(integration)
        b.source.ticks += 3600
        await b.sync(integration)  # From here on nothing is read, only tried again.

        runs = [await b.sync(integration) for _ in range(2)]

        tried = [await b.rows("SELECT external_id FROM rejected_records WHERE run_id = :run", run=r.id) for r in runs]
        assert {row.external_id for row in tried[0] + tried[1]} == {"id-INC00001", "id-INC00002", "id-INC00003"}
        assert [(r.rejected, r.verdict and r.verdict["why"]) for r in runs] == [
            (2, "3 could not be mapped: see the run's rejected records")
        ] * 2

        monkeypatch.setattr(staging, "MOST_BYTES_TRIED_AGAIN", 200)  # One of them has more than a hundred.
        assert (await b.sync(integration)).rejected == 1


async def test_the_raw_file_holds_what_was_fetched_and_not_what_is_tried_again(
    database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        b.source.fill(3)
        b.source.rows["id-INC00002"]["number"] = ""
        integration = await b.integration()
        await b.sync(integration)
        assert len(json.loads(path.read_text())) == 3
        b.source.ticks += 3600
        b.source.add("INC00004")

        run = await b.sync(integration)

        assert (run.rejected, [row["id"] for row in json.loads(path.read_text())]) == (
            1,
            ["id-INC00003", "id-INC00004"],
        )


async def test_a_fetch_that_brings_nothing_leaves_the_raw_file_as_it_was(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "raw.json"
    async with bench(database_url, raw_dump_path=str(path)) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.ticks += 3600
        await b.sync(integration)
        before = path.stat()

        run = await b.sync(integration)

        assert (run.state, run.mode, run.fetched) == ("succeeded", "incremental", 0)
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert len(json.loads(path.read_text())) == 1
