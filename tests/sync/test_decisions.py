"""What people decide about runs and versions: cancel, resume, publish or discard what is held, roll back."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from integrations_api.connectors.errors import Retryable
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.service import IntegrationService
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.knowledge.versions import Chunk
from integrations_api.sync import repository
from integrations_api.sync.engine import SyncEngine
from integrations_api.sync.models import SyncRun
from integrations_api.sync.remap import Remap
from integrations_api.worker_wiring import executor_options
from tests.support.applications import settings_for
from tests.support.gates import gate, publishing_gate
from tests.support.served import Served, served
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


async def test_a_cancelled_sync_ends_at_once_and_publishes_nothing(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        watching = asyncio.create_task(api.watch("POST", f"/integrations/sync/{integration}"))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        answer = await api.client.post(f"/integrations/sync/{integration}/cancel")

        assert answer.json()["run"]["state"] == "cancelled"
        last = json.loads((await watching)[-1].data)
        assert last["message"].startswith("Sync was cancelled by admin-")
        assert await b.titles(integration) == {}
        again = await api.client.post(f"/integrations/sync/{integration}/cancel")
        assert (again.status_code, again.json()["message"]) == (409, "No sync of this integration is going on")
        b.source.gate.set()
        assert (await b.sync(integration)).added == 3


async def test_a_cancel_that_comes_while_it_is_published_is_told_that_the_sync_has_ended(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        async with publishing_gate(database_url) as publishing:
            run_id = await b.start(integration)
            await publishing.reached()
            cancelling = asyncio.create_task(api.client.post(f"/integrations/sync/{integration}/cancel"))
            await b.somebody_waits()
            await publishing.open()

        assert (await cancelling).status_code == 409
        assert ((await b.finished(run_id)).state, len(await b.titles(integration))) == ("succeeded", 3)


async def test_a_failed_first_load_goes_on_where_it_was(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.page_size = 10
        b.source.fill(35)
        integration = await b.integration()
        b.source.fail_at_page, b.source.failure = 2, Retryable("Connection timeout")
        failed = await b.sync(integration)
        assert (failed.state, failed.fetched) == ("failed", 20)
        b.source.failure = None

        answer = await api.client.post(f"/integrations/runs/{failed.id}/resume")
        resumed = await b.finished(failed.id)

        assert answer.json()["run"]["state"] == "queued"
        assert (resumed.state, resumed.fetched, resumed.added, b.source.pages_read) == ("succeeded", 35, 35, 4)
        events = await api.watch("GET", f"/integrations/runs/{failed.id}/events")
        assert [event.event for event in events].count("complete") == 1
        assert "error" not in [event.event for event in events]
        refused = await api.client.post(f"/integrations/runs/{failed.id}/resume")
        assert refused.status_code == 409


async def test_a_failed_run_of_a_disabled_integration_waits_until_it_is_enabled(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        failed = await b.sync(integration)
        b.source.failure = None
        path = f"/integrations/runs/{failed.id}/resume"
        await b.change("UPDATE integrations SET is_active = false")

        refused = await api.client.post(path)

        assert (refused.status_code, refused.json()["message"]) == (409, "Integration is disabled")
        await b.change("UPDATE integrations SET is_active = true")
        assert (await api.client.post(path)).status_code == 200
        assert (await b.finished(failed.id)).state == "succeeded"


async def test_a_failed_run_cannot_be_resumed_past_a_rollback(database_url: str) -> None:
    """It would publish what changed since its watermark, and the full sync after a rollback would never come."""
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="Mail is back")
        await b.sync(integration)
        b.source.add("INC00004")
        b.source.fail_at_page, b.source.failure = b.source.pages_read, Retryable("Connection timeout")
        failed = await b.sync(integration)
        b.source.failure = None
        path = f"/knowledge/datasets/{integration}/versions/1/rollback"
        assert (await api.client.post(path, json={"reason": "wrong titles"})).status_code == 200

        refused = await api.client.post(f"/integrations/runs/{failed.id}/resume")

        assert failed.state == "failed"
        assert (refused.status_code, refused.json()["message"]) == (
            409,
            "The dataset was rolled back since: start a new sync, which reads everything",
        )
        run = await b.sync(integration)
        assert (run.mode, run.added, run.updated) == ("full", 1, 1)


async def test_a_run_that_is_resumed_during_a_rollback_waits_for_it_and_is_refused(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="Mail is back")
        await b.sync(integration)
        b.source.fail_at_page, b.source.failure = b.source.pages_read, Retryable("Connection timeout")
        failed = await b.sync(integration)
        path = f"/knowledge/datasets/{integration}/versions/1/rollback"
        async with gate(database_url, when="NEW.kind = 'rollback'", at="INSERT ON versions") as rolling_back:
            back = asyncio.create_task(api.client.post(path, json={"reason": "wrong titles"}))
            await rolling_back.reached()
            resuming = asyncio.create_task(api.client.post(f"/integrations/runs/{failed.id}/resume"))
            await b.somebody_waits()
            await rolling_back.open()

            assert ((await back).status_code, (await resuming).status_code) == (200, 409)


@pytest.mark.parametrize(("purged", "status"), [("INC00002", 200), ("INC00012", 409)])
async def test_a_run_is_resumed_past_a_purge_unless_it_was_about_to_write_the_incident(
    database_url: str, monkeypatch: pytest.MonkeyPatch, purged: str, status: int
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        for number in range(1, 13):
            b.source.change(f"INC{number:05d}", title="It was not the mail")
        with failing_after_the_first(monkeypatch, SyncEngine, "_ingest_chunk"):
            failed = await b.sync(integration)

        answer = await _resumed_after_a_purge(b, api, failed, purged)

        assert (failed.phase, failed.ingested, answer.status_code) == ("ingesting", 5, status)
        if status == 200:
            assert (await b.finished(failed.id)).state == "succeeded"
            assert len(await b.titles(integration)) == 11
        else:
            message = "An incident that this run was about to write was purged since: start a new sync"
            assert answer.json()["message"] == message


@pytest.mark.parametrize(("purged", "status"), [("INC00002", 200), ("INC00012", 409)])
async def test_the_same_goes_for_a_run_that_was_mapping_anew(
    database_url: str, monkeypatch: pytest.MonkeyPatch, purged: str, status: int
) -> None:
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        b.source.mapping_version = 2
        with failing_after_the_first(monkeypatch, Remap, "_rewrite_chunk"):
            failed = await b.sync(integration)

        answer = await _resumed_after_a_purge(b, api, failed, purged)

        assert (failed.phase, failed.ingested, answer.status_code) == ("rewriting", 5, status)
        if status == 200:
            resumed = await b.finished(failed.id)
            assert (resumed.state, resumed.error) == ("succeeded", None)


async def test_a_run_is_not_resumed_behind_one_that_a_slow_clock_has_dated_before_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would go on with a version behind the head."""
    async with bench(database_url, sync_chunk_size=5) as b, served(b) as api:
        b.source.fill(12)
        integration = await b.integration()
        with failing_after_the_first(monkeypatch, SyncEngine, "_ingest_chunk"):
            failed = await b.sync(integration)
        await b.change("UPDATE sync_runs SET created_at = created_at + interval '5 minutes'")
        assert (await b.sync(integration)).version == 2

        refused = await api.client.post(f"/integrations/runs/{failed.id}/resume")

        assert (failed.version, refused.status_code, refused.json()["message"]) == (
            1,
            409,
            "A later run has begun since: start a new sync",
        )


@contextmanager
def failing_after_the_first(monkeypatch: pytest.MonkeyPatch, kind: type, step: str) -> Iterator[None]:
    """Meanwhile this step of `kind` writes one chunk and no second."""
    write = getattr(kind, step)

    async def once(self: Any, chunk: Chunk) -> Any:
        if chunk.before:
            raise Retryable("It was begun too often")
        return await write(self, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, once)
        yield


async def _resumed_after_a_purge(b: Bench, api: Served, failed: SyncRun, number: str) -> httpx.Response:
    await b.components[KnowledgeService].purge(number, dataset_id=failed.dataset_id, reason="118", principal=ADMIN)
    return await api.client.post(f"/integrations/runs/{failed.id}/resume")


async def test_a_run_is_not_resumed_beside_one_that_begins_at_the_same_time(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        b.source.fail_at_page, b.source.failure = 0, Retryable("Connection timeout")
        failed = await b.sync(await b.integration())
        async with b.sessions.begin() as session:
            facts = {"integration_id": failed.integration_id, "dataset_id": failed.dataset_id}
            await repository.insert_run(session, id=uuid4(), mode="full", trigger="manual", **facts)
            resuming = asyncio.create_task(api.client.post(f"/integrations/runs/{failed.id}/resume"))
            await b.somebody_waits()

        refused = await resuming

        assert (refused.status_code, refused.json()["message"]) == (
            409,
            "A later run has begun since: start a new sync",
        )


async def test_a_sync_of_an_integration_that_is_just_being_deleted_is_one_error_event(database_url: str) -> None:
    async with bench(database_url, workers=0) as b, served(b) as api:
        integration = await b.integration()
        async with b.sessions.begin() as session:
            await session.execute(text("DELETE FROM integrations"))
            asking = asyncio.create_task(api.watch("POST", f"/integrations/sync/{integration}"))
            await b.somebody_waits()

        (event,) = await asking

        assert json.loads(event.data) == {"success": False, "message": "Integration not found"}


async def _sync_that_loses_most(
    b: Bench, *, scheduled: bool = False, before: str | None = None
) -> tuple[UUID, SyncRun]:
    """The second version of an integration, or the third where one comes before it that changes a title."""
    b.source.fill(10)
    integration = await b.integration()
    if scheduled:
        schedule = Schedule("0 6 * * *", "UTC")
        await b.components[IntegrationService].set_schedule(integration, schedule, principal=ADMIN)
    await b.sync(integration)
    if before is not None:
        b.source.change("INC00010", title=before)
        await b.sync(integration)
    for number in range(1, 7):
        b.source.remove(f"INC{number:05d}")
    return integration, await b.sync(integration, mode="full")


@pytest.mark.parametrize(
    ("deleted", "live", "is_held"),
    [
        (0, 0, False),
        (49, 49, False),  # fewer than the minimum, though all of them
        (50, 50, True),
        (50, 250, False),  # just the share, not more
        (50, 249, True),
        (51, 250, True),
        (20_000, 100_000, False),
        (20_001, 100_000, True),
    ],
)
async def test_more_than_the_share_and_at_least_the_minimum_is_held(deleted: int, live: int, is_held: bool) -> None:
    brake = executor_options(settings_for("postgresql://nowhere")).engine.brake

    assert brake.holds(deleted=deleted, live=live) is is_held


async def test_a_version_that_would_remove_too_much_is_held(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=5) as b, served(b) as api:
        integration, run = await _sync_that_loses_most(b, scheduled=True)

        assert (run.state, run.deleted, run.version) == ("held", 6, 2)
        name, last = (await b.events(run.id))[-1]
        assert (name, last["held"]) == ("complete", True)
        assert last["message"].startswith("Version 2 is held: it would remove 6 of 10 documents.")
        assert len(await b.titles(integration)) == 10
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        assert (shown["paused"], shown["next_sync_at"]) == (last["message"], None)
        path = f"/knowledge/datasets/{integration}/versions"
        assert (await api.client.get(f"{path}/2")).json()["version"]["state"] == "held"

        published = await api.client.post(f"{path}/2/publish")

        assert published.json()["version"]["state"] == "published"
        assert len(await b.titles(integration)) == 4
        assert (await api.client.post(f"{path}/2/publish")).status_code == 409
        assert (await api.client.get(f"/integrations/runs/{run.id}")).json()["run"]["state"] == "succeeded"
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        assert shown["paused"].startswith("Version 2 was held, and published by ")
        assert shown["last_sync_error"] is None


async def test_a_held_version_can_be_discarded_or_is_discarded_by_the_next_sync(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=5) as b, served(b) as api:
        integration, _ = await _sync_that_loses_most(b)

        answer = await api.client.post(f"/knowledge/datasets/{integration}/versions/2/discard")

        assert answer.json() == {"success": True, "message": "Version 2 was discarded"}
        assert len(await b.titles(integration)) == 10
        again = await b.sync(integration, mode="full")
        assert (again.state, again.version) == ("held", 3)
        b.source.fill(10)
        healed = await b.sync(integration, mode="full")
        assert (healed.state, healed.deleted) == ("succeeded", 0)
        assert (await api.client.get(f"/knowledge/datasets/{integration}/versions/3")).status_code == 404


@pytest.mark.parametrize("decision", ["3/discard", "1/rollback"])
async def test_an_integration_asks_no_longer_for_a_word_that_was_given(database_url: str, decision: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=5) as b, served(b) as api:
        integration, _ = await _sync_that_loses_most(b, before="changed", scheduled=True)
        path = f"/integrations/id/{integration}"
        assert (await api.client.get(path)).json()["integration"]["last_sync_error"].startswith("Version 3 is held: ")

        await api.client.post(
            f"/knowledge/datasets/{integration}/versions/{decision}", json={"reason": "a wrong filter"}
        )

        shown = (await api.client.get(path)).json()["integration"]
        assert (shown["last_sync_status"], shown["next_sync_at"]) == ("error", None)
        assert shown["last_sync_error"].startswith("Version 3 was held, and discarded by admin")
        assert shown["paused"] in (shown["last_sync_error"], "rolled back to version 1")


async def test_the_plan_of_a_held_version_is_kept_until_that_is_decided(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=5) as b:
        integration, held = await _sync_that_loses_most(b)
        await b.duties().forget_old_plans()
        waiting = await _planned_by(b)
        b.source.fill(10)
        await b.sync(integration, mode="full")

        await b.duties().forget_old_plans()

        assert (waiting, await _planned_by(b)) == ({held.id}, set())


async def _planned_by(b: Bench) -> set[UUID]:
    return {row.run_id for row in await b.rows("SELECT run_id FROM staged_changes")}


async def test_a_rollback_is_a_new_version_and_the_next_sync_reads_everything(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(4)
        integration = await b.integration()
        await b.sync(integration)
        before = await b.titles(integration)
        b.source.change("INC00001", title="overwritten")
        b.source.add("INC00005")
        b.source.remove("INC00002")
        await b.sync(integration)
        after = await b.titles(integration)
        path = f"/knowledge/datasets/{integration}/versions"

        answer = (await api.client.post(f"{path}/1/rollback", json={"reason": "a bad import"})).json()

        assert answer["version"]["number"] == 3
        assert (answer["version"]["kind"], answer["version"]["note"]) == ("rollback", "a bad import")
        assert answer["message"] == "Version 3 now equals version 1. The next sync reads everything from the source."
        assert await b.titles(integration) == before
        dataset = (await api.client.get(f"/knowledge/datasets/{integration}")).json()["dataset"]
        verdict = dataset["verdict"]
        assert (verdict["state"], verdict["source"], verdict["stored"]) == ("unknown", None, dataset["documents"])
        assert verdict["why"] == "rolled back to version 1: the next sync counts again"
        undone = await api.client.post(f"{path}/2/rollback", json={"reason": "it was right"})
        assert undone.json()["version"]["number"] == 4
        assert await b.titles(integration) == after
        run = await b.sync(integration)
        assert (run.mode, run.version) == ("full", None)
        dataset = (await api.client.get(f"/knowledge/datasets/{integration}")).json()["dataset"]
        assert (dataset["verdict"]["state"], dataset["verdict"]["stored"]) == ("complete", 4)
        assert (await b.sync(integration)).mode == "incremental"


async def test_a_rollback_waits_for_nobody_and_needs_a_reason(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(2)
        integration = await b.integration()
        await b.sync(integration)
        b.source.add("INC00003")
        await b.sync(integration)
        path = f"/knowledge/datasets/{integration}/versions/1/rollback"
        b.source.gate = asyncio.Event()
        b.source.reached.clear()
        run = await b.start(integration)
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)

        busy = await api.client.post(path, json={"reason": "now"})
        without = await api.client.post(path, json={})
        blank = await api.client.post(path, json={"reason": " \n"})

        assert (busy.status_code, busy.json()["message"]) == (
            409,
            "A sync is going on: wait for it, or cancel it first",
        )
        assert (without.status_code, blank.status_code) == (422, 422)
        b.source.gate.set()
        await b.finished(run)


async def test_a_ticket_serves_one_run_and_its_reconnects(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(6)
        integration = await b.integration()
        run, other = await b.sync(integration), await b.sync(integration)
        ticket = (await api.client.post(f"/integrations/runs/{run.id}/ticket")).json()["ticket"]
        api.client.headers.pop("Authorization")

        seen = await api.watch("GET", f"/integrations/runs/{run.id}/events?ticket={ticket}")
        url = f"/integrations/runs/{run.id}/events?ticket={ticket}&last_event_id={seen[-2].id}"
        rest = await api.watch("GET", url)
        over = await api.client.get(url.replace(seen[-2].id, seen[-1].id))
        elsewhere = await api.client.get(f"/integrations/runs/{other.id}/events?ticket={ticket}")
        without = await api.client.get(f"/integrations/runs/{run.id}/events")

        assert [event.event for event in seen][-1] == "complete"
        assert [event.id for event in rest] == [seen[-1].id]
        assert (over.status_code, elsewhere.status_code, without.status_code) == (204, 401, 401)


async def test_the_latest_run_of_an_integration_can_be_watched(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(2)
        integration = await b.integration()
        path = f"/integrations/sync/{integration}/events"
        assert (await api.client.get(path)).status_code == 404
        first, _ = await b.sync(integration), await b.sync(integration)

        latest = await api.watch("GET", path)
        named = await api.watch("GET", path, headers={"Last-Event-ID": f"{first.id}:1"})
        wrong = await api.client.get(path, headers={"Last-Event-ID": "1"})

        assert len(latest) == 2
        assert named[0].id == f"{first.id}:2"
        assert (wrong.status_code, [one["field"] for one in wrong.json()["errors"]]) == (422, ["Last-Event-ID"])
