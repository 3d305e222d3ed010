"""A release that maps in another way: stored records are mapped anew, and no sync takes that for news of the source."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from integrations_api.clock import utc_now
from integrations_api.connectors.errors import Retryable
from integrations_api.connectors.records import MappedDocument, SourceRecord
from integrations_api.errors import Conflict
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.schemas import IntegrationIn
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge import remapping
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.metrics import REGISTRY
from integrations_api.queue.jobs import NotDoneYet
from integrations_api.sync import repository
from integrations_api.sync.control import RunControl
from integrations_api.sync.executor import RunExecutor
from integrations_api.sync.models import SyncRun
from integrations_api.sync.remap import Remap
from integrations_api.sync.service import SyncService
from integrations_api.worker_wiring import executor_options
from tests.support.applications import settings_for
from tests.support.gates import gate
from tests.support.sources import MemoryConnector
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


async def versions_of(b: Bench, integration: UUID) -> list[tuple[int, str, int, int]]:
    """(number, kind, updated, mapping version) of what was published."""
    rows = await b.rows(
        "SELECT number, kind, updated, mapping_version FROM versions"
        " WHERE dataset_id = :id AND state = 'published' ORDER BY number",
        id=integration,
    )
    return [tuple(row) for row in rows]


async def mapped_by(b: Bench, integration: UUID) -> dict[str, str]:
    """number → the mapping that made what is live, "1" where it does not say."""
    rows = await b.rows(
        "SELECT r.number, coalesce(c.attributes ->> 'mapped_by', '1') AS by FROM revisions r"
        " JOIN contents c ON c.id = r.content_id JOIN datasets d ON d.id = r.dataset_id"
        " WHERE r.dataset_id = :id AND r.change <> 'deleted' AND r.valid_from <= d.head AND r.valid_to > d.head",
        id=integration,
    )
    return {row.number: row.by for row in rows}


async def loaded(b: Bench, *, incidents: int = 3) -> UUID:
    b.source.fill(incidents)
    integration = await b.integration()
    assert (await b.sync(integration)).added == incidents
    return integration


async def remap_run(b: Bench, integration: UUID) -> SyncRun:
    """The newest run that only maps anew, once it is over."""
    rows = await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap' ORDER BY created_at DESC LIMIT 1")
    return await b.finished(rows[0].id)


async def test_a_sync_after_an_upgrade_maps_anew_first_and_reports_only_what_the_source_changed(
    database_url: str,
) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        b.source.mapping_version = 2
        b.source.change("INC00002", title="Mail is back")

        run = await b.sync(integration)

        assert (run.state, run.added, run.updated, run.version) == ("succeeded", 0, 1, 3)
        assert await versions_of(b, integration) == [(1, "sync", 0, 1), (2, "remap", 3, 2), (3, "sync", 1, 2)]
        assert set((await mapped_by(b, integration)).values()) == {"2"}
        notes = await b.rows("SELECT note FROM versions WHERE number = 2")
        assert notes[0].note == "The mapping changed, not the source"
        messages = [event["message"] for _, event in await b.events(run.id) if "message" in event]
        assert messages[:2] == [
            "The mapping has changed: mapping the stored incidents anew...",
            "Fetching incidents from ServiceNow...",
        ]
        again = await b.sync(integration, mode="full")
        assert (again.updated, again.unchanged, again.version) == (0, 3, None)


async def test_a_worker_maps_anew_what_is_at_rest_and_says_nothing_of_the_source(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        before = (await b.components[IntegrationService].get(integration)).integration
        b.source.mapping_version = 2

        await b.duties().start_remap()
        run = await remap_run(b, integration)
        with monkeypatch.context() as patched:
            patched.setattr(remapping, "at_rest", None)  # It looks through all runs, and nothing is outdated now.
            await b.duties().start_remap()

        assert (run.state, run.updated, run.version, run.verdict) == ("succeeded", 3, 2, None)
        assert await versions_of(b, integration) == [(1, "sync", 0, 1), (2, "remap", 3, 2)]
        assert (await b.components[IntegrationService].get(integration)).integration == before
        assert (await b.events(run.id))[-1] == (
            "complete",
            {
                "success": True,
                "message": "The mapping has changed: 3 stored incidents read otherwise now",
                "stats": {"added": 0, "total": 3, "updated": 3, "version": 2},
            },
        )
        assert len(await b.rows("SELECT id FROM sync_runs")) == 2
        assert (await b.sync(integration)).version is None


async def test_runs_that_only_map_anew_are_counted_as_ended_like_others(database_url: str) -> None:
    def succeeded() -> float:
        return REGISTRY.get_sample_value("integrations_sync_runs_ended_total", {"state": "succeeded"}) or 0

    async with bench(database_url) as b:
        before, integration = succeeded(), await loaded(b)
        await b.stop_workers()  # Whoever ends a run counts that right after it.
        assert succeeded() == before + 1

        b.source.mapping_version = 2
        b.start_worker()
        await b.duties().start_remap()
        await remap_run(b, integration)
        await b.stop_workers()

    assert succeeded() == before + 2


async def test_one_dataset_at_a_time_is_mapped_anew(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(2)
        for _ in range(2):
            await b.sync(await b.integration())
        await b.stop_workers()
        b.source.mapping_version = 2

        for _ in range(3):
            await b.duties().start_remap()
        assert len(await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")) == 1

        b.start_worker()
        for row in await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'"):
            await b.finished(row.id)
        await b.duties().start_remap()
        assert len(await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")) == 2


async def test_of_two_workers_that_look_at_once_one_has_a_dataset_mapped_anew(database_url: str) -> None:
    async with bench(database_url) as b:
        await loaded(b)
        await b.stop_workers()
        b.source.mapping_version = 2
        begun = []
        async with b.sessions.begin() as other:
            assert await repository.may_start_remap(other)
            await b.duties().start_remap()
            begun.append(len(await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")))
        await b.duties().start_remap()
        begun.append(len(await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")))

        assert begun == [0, 1]


def stopping_executor(b: Bench, database_url: str) -> RunExecutor:
    """A worker that is asked to stop all the time: it gives the run back at its first boundary."""
    executor = RunExecutor(
        worker_id=uuid4(),
        sessions=b.sessions,
        integrations=b.components[IntegrationReader],
        sources=b.components[SyncService].sources,
        clock=utc_now,
        options=executor_options(settings_for(database_url, raw_dump_path="", sync_chunk_size=5)),
    )
    executor.stop()
    return executor


async def test_another_worker_goes_on_at_every_boundary(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b, incidents=12)
        await b.stop_workers()
        b.source.mapping_version = 2
        run_id = await b.start(integration)

        phases: list[str] = []
        while (phase := (await b.run(run_id)).phase) != "fetching":
            phases.append(phase)
            with pytest.raises(NotDoneYet):
                await stopping_executor(b, database_url).carry_out(str(run_id))
        b.start_worker()
        run = await b.finished(run_id)

        # Three pieces of at most five: the first is mapped with the first step, and publishing is a step of its own.
        assert phases == ["starting", *["remapping"] * 2, *["rewriting"] * 4]
        assert await versions_of(b, integration) == [(1, "sync", 0, 1), (2, "remap", 12, 2)]
        assert set((await mapped_by(b, integration)).values()) == {"2"}
        assert (run.state, run.updated, run.version) == ("succeeded", 0, None)


async def test_a_sync_that_is_asked_for_during_a_remap_follows_it_in_the_same_run(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        await b.stop_workers()
        b.source.mapping_version = 2
        await b.duties().start_remap()
        b.source.remove("INC00003")
        b.source.delete_log.clear()  # Only a full sync finds out.

        run_id = await b.start(integration, mode="full")
        b.start_worker()
        run = await b.finished(run_id)

        assert (run.trigger, run.mode, run.state, run.deleted, run.updated) == ("manual", "full", "succeeded", 1, 0)
        assert [kind for _, kind, _, _ in await versions_of(b, integration)] == ["sync", "remap", "sync"]
        assert [name for name, _ in await b.events(run_id)].count("complete") == 1


async def test_a_scheduled_sync_takes_up_a_remap_too(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        await b.stop_workers()
        b.source.mapping_version = 2
        await b.duties().start_remap()
        await b.change("UPDATE integrations SET schedule_cron = '0 * * * *', next_sync_at = now() - interval '1 hour'")

        await b.duties().start_due()
        b.start_worker()

        rows = await b.rows("SELECT id FROM sync_runs WHERE trigger = 'schedule'")
        assert (await b.finished(rows[0].id)).state == "succeeded"
        shown = (await b.components[IntegrationService].get(integration)).integration
        assert shown["last_sync_status"] == "success"


async def test_a_rollback_to_an_older_mapping_stays_until_a_sync_and_that_reports_no_mapping(
    database_url: str,
) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        b.source.mapping_version = 2
        await b.sync(integration)
        b.source.change("INC00001", title="Changed at the source")
        await b.sync(integration)
        await b.components[RunControl].roll_back(integration, 1, reason="the mapping is no good", principal=ADMIN)

        await b.duties().start_remap()
        assert await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'") == []
        assert set((await mapped_by(b, integration)).values()) == {"1"}

        run = await b.sync(integration)

        # The record of INC00001 is newer than what was gone back to: mapping it anew would undo the rollback.
        assert (run.mode, run.updated, run.version) == ("full", 1, 6)
        assert await versions_of(b, integration) == [
            (1, "sync", 0, 1),
            (2, "remap", 3, 2),
            (3, "sync", 1, 2),
            (4, "rollback", 3, 1),
            (5, "remap", 2, 2),
            (6, "sync", 1, 2),
        ]
        assert (await b.titles(integration))["INC00001"] == "Changed at the source"
        assert set((await mapped_by(b, integration)).values()) == {"2"}


async def test_a_fetch_that_was_begun_under_another_mapping_begins_again(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.page_size = 10
        b.source.fill(25)
        integration = await b.integration()
        b.source.fail_at_page, b.source.failure = 2, Retryable("Connection timeout")
        failed = await b.sync(integration)
        assert (failed.phase, failed.fetched) == ("fetching", 20)
        b.source.failure, b.source.mapping_version = None, 2

        await b.components[RunControl].resume(failed.id, principal=ADMIN)
        run = await b.finished(failed.id)

        assert (run.state, run.fetched, run.added) == ("succeeded", 25, 25)
        assert await versions_of(b, integration) == [(1, "sync", 0, 2)]
        assert set((await mapped_by(b, integration)).values()) == {"2"}


async def test_what_cannot_be_mapped_anew_stays_as_it_was_and_the_run_says_so(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        await b.change("DELETE FROM raw_records WHERE external_id = 'id-INC00001'")
        await b.change("UPDATE raw_records SET raw = replace(raw, 'INC00002', '') WHERE external_id = 'id-INC00002'")
        b.source.mapping_version = 2

        await b.duties().start_remap()
        run = await remap_run(b, integration)

        assert (run.state, run.updated, run.rejected) == ("succeeded", 1, 2)
        assert run.warnings[0].startswith("2 stored incidents could not be mapped anew")
        assert await mapped_by(b, integration) == {"INC00001": "1", "INC00002": "1", "INC00003": "2"}
        mended = await b.sync(integration, mode="full")
        assert mended.updated == 2
        assert set((await mapped_by(b, integration)).values()) == {"2"}


async def test_a_mapping_that_makes_no_difference_makes_no_version(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        await b.change("UPDATE datasets SET mapping_version = 0")

        await b.duties().start_remap()
        run = await remap_run(b, integration)

        assert (run.state, run.updated, run.unchanged, run.version) == ("succeeded", 0, 3, None)
        assert (await b.rows("SELECT mapping_version FROM datasets"))[0].mapping_version == 1
        assert await versions_of(b, integration) == [(1, "sync", 0, 1)]


async def test_records_of_another_source_are_not_mapped_anew(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        b.source.mapping_version = 2
        await point_elsewhere(b, integration)

        run = await b.sync(integration)

        assert (run.mode, run.updated) == ("full", 3)
        assert [kind for _, kind, _, _ in await versions_of(b, integration)] == ["sync", "sync"]


async def point_elsewhere(b: Bench, integration: UUID) -> None:
    config = {"url": "https://dev2.service-now.com", "username": "admin", "password": "another"}
    sent = IntegrationIn(service_name="ServiceNow", auth_type="basic_auth", config=config, is_active=True)
    await b.components[IntegrationService].update(integration, sent, principal=ADMIN)


async def test_nor_are_those_of_another_source_that_a_rollback_went_back_to(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        await point_elsewhere(b, integration)
        b.source.rows.clear()
        b.source.add("INC00007")
        assert (await b.sync(integration)).deleted == 3
        for version in (1, 2, 3):
            await b.components[RunControl].roll_back(integration, version, reason="A look back", principal=ADMIN)
        b.source.mapping_version = 2

        run = await b.sync(integration)

        kinds = [kind for _, kind, _, _ in await versions_of(b, integration)]
        assert kinds == ["sync", "sync", "rollback", "rollback", "rollback", "sync"]
        assert (run.mode, run.added, run.deleted) == ("full", 1, 3)
        assert await mapped_by(b, integration) == {"INC00007": "2"}


async def test_a_held_version_waits_for_its_word(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=2) as b:
        integration = await loaded(b)
        for number in ("INC00001", "INC00002"):
            b.source.remove(number)
        assert (await b.sync(integration, mode="full")).state == "held"
        b.source.mapping_version = 2

        await b.duties().start_remap()

        assert await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'") == []


async def test_after_a_held_version_was_published_the_record_that_was_read_last_is_mapped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_the_site(connector: MemoryConnector, record: SourceRecord) -> MappedDocument:
        document = mapped(connector, record)
        if b.source.mapping_version > 1:
            return replace(document, attributes={"site": record.raw.get("site")})
        return document

    mapped = MemoryConnector.map
    monkeypatch.setattr(MemoryConnector, "map", with_the_site)
    async with bench(database_url, sync_delete_brake_minimum=2) as b:
        integration = await loaded(b)
        for number in ("INC00001", "INC00002"):
            b.source.remove(number)
        b.source.change("INC00003", site="Berlin")  # The mapping of now does not look at it.
        held = await b.sync(integration, mode="full")
        await b.components[RunControl].publish_held(integration, held.version or 0, principal=ADMIN)
        b.source.mapping_version = 2

        await b.duties().start_remap()
        run = await remap_run(b, integration)

        assert (held.state, run.state, run.updated) == ("held", "succeeded", 1)
        live = "SELECT c.attributes FROM revisions r JOIN contents c ON c.id = r.content_id WHERE valid_from = :version"
        assert [row.attributes for row in await b.rows(live, version=run.version)] == [{"site": "Berlin"}]


async def test_a_remap_that_fails_is_no_failure_of_the_source_and_is_not_repeated_all_day(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        before = (await b.components[IntegrationService].get(integration)).integration
        b.source.mapping_version = 2
        with monkeypatch.context() as patch:
            patch.setattr(Remap, "_rewrite_chunk", _failing)
            await b.duties().start_remap()
            run = await remap_run(b, integration)

        assert (run.state, run.error) == ("failed", "It is broken")
        assert (await b.components[IntegrationService].get(integration)).integration == before
        await b.change("UPDATE sync_runs SET finished_at = now() - interval '23 hours' WHERE trigger = 'remap'")
        for state in ("cancelled", "failed"):
            await b.change("UPDATE sync_runs SET state = :state WHERE trigger = 'remap'", state=state)

            await b.duties().start_remap()
            assert len(await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")) == 1

        await b.change("UPDATE sync_runs SET finished_at = now() - interval '25 hours' WHERE trigger = 'remap'")
        await b.duties().start_remap()
        assert len(await b.rows("SELECT id FROM sync_runs WHERE trigger = 'remap'")) == 2


async def _failing(*_: object) -> None:
    raise Conflict("It is broken")


async def test_who_watches_the_latest_sync_does_not_get_a_remap(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b)
        (sync,) = await b.rows("SELECT id FROM sync_runs")
        b.source.mapping_version = 2
        await b.duties().start_remap()
        await remap_run(b, integration)

        position = await b.components[SyncService].latest_position(integration, last_event_id=None)

        assert position.run_id == sync.id


async def test_older_versions_read_as_they_did(database_url: str) -> None:
    async with bench(database_url) as b:
        integration = await loaded(b, incidents=2)
        knowledge = b.components[KnowledgeService]

        async def first_version() -> list[dict[str, Any]]:
            return (await knowledge.incidents(integration, 1, after=None, limit=10, tombstones=False)).incidents

        before = await first_version()
        b.source.mapping_version = 2
        await b.sync(integration)

        assert await first_version() == before


async def test_a_sync_that_is_due_while_a_remap_takes_its_last_step_is_one_of_its_own(database_url: str) -> None:
    """It was left out, and waited for its next time."""
    async with bench(database_url) as b:
        integration = await loaded(b)
        await b.components[IntegrationService].set_schedule(integration, Schedule("0 6 * * *", "UTC"), principal=ADMIN)
        b.source.mapping_version = 2
        async with gate(database_url, when="NEW.state = 'succeeded' AND NEW.trigger = 'remap'") as ending:
            await b.duties().start_remap()
            await ending.reached()
            await b.change("UPDATE integrations SET next_sync_at = now()")
            starting = asyncio.create_task(b.duties().start_due())
            await b.somebody_waits()
            await ending.open()
            await asyncio.wait_for(starting, PATIENCE)

        begun = await b.rows("SELECT id, trigger FROM sync_runs ORDER BY created_at")
        assert [run.trigger for run in begun] == ["manual", "remap", "schedule"]
        assert (await b.finished(begun[-1].id)).state == "succeeded"
