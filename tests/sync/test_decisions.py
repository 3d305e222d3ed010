"""What people decide about runs and versions: cancel, publish or discard what is held, roll back."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from integrations_api.errors import Conflict
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.service import IntegrationService
from integrations_api.sync import repository
from integrations_api.sync.control import RunControl
from integrations_api.sync.models import SyncRun
from integrations_api.worker_wiring import executor_options
from tests.support.applications import settings_for
from tests.support.gates import gate, publishing_gate
from tests.support.served import served
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


async def test_a_sync_that_ends_while_another_wish_is_about_to_join_it_is_followed_by_a_new_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(database_url, workers=0) as b:
        integration = await b.integration()
        first = await b.start(integration)
        look = repository.turn_into_sync

        async def look_after_its_end(*args: Any, **facts: Any) -> UUID | None:
            await b.components[RunControl].cancel(integration, principal=ADMIN)
            return await look(*args, **facts)

        monkeypatch.setattr(repository, "turn_into_sync", look_after_its_end)

        second = await b.start(integration)

        runs = await b.rows("SELECT id, state FROM sync_runs ORDER BY created_at")
        assert [tuple(run) for run in runs] == [(first, "cancelled"), (second, "queued")]


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


async def test_a_sync_that_begins_during_a_rollback_waits_for_it_and_reads_everything(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="Mail is back")
        await b.sync(integration)
        async with gate(database_url, when="NEW.kind = 'rollback'", at="INSERT ON versions") as rolling_back:
            control = b.components[RunControl]
            back = asyncio.create_task(control.roll_back(integration, 1, reason="wrong titles", principal=ADMIN))
            await rolling_back.reached()
            run_id = await b.start(integration)
            await b.somebody_waits()
            await rolling_back.open()
            await back

        run = await b.finished(run_id)

        assert (run.state, run.mode, run.updated) == ("succeeded", "full", 1)


async def test_a_sync_of_an_integration_that_is_just_being_deleted_is_one_error_event(database_url: str) -> None:
    async with bench(database_url, workers=0) as b, served(b) as api:
        integration = await b.integration()
        async with b.sessions.begin() as session:
            await session.execute(text("DELETE FROM integrations"))
            asking = asyncio.create_task(api.watch("POST", f"/integrations/sync/{integration}"))
            await b.somebody_waits()

        (event,) = await asking

        assert json.loads(event.data) == {"success": False, "message": "Integration not found"}


async def test_an_integration_is_deleted_once_the_step_of_its_sync_that_is_going_on_is_over(database_url: str) -> None:
    """The step needs the integration as well: had the deletion locked it first, PostgreSQL would end one of the two."""
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        async with publishing_gate(database_url) as publishing:
            run_id = await b.start(integration)
            await publishing.reached()
            service = b.components[IntegrationService]
            deleting = asyncio.create_task(service.delete(integration, principal=ADMIN))
            await b.somebody_waits()
            await publishing.open()
            await deleting

        assert (await b.finished(run_id)).state == "succeeded"
        assert len(await b.titles(integration)) == 3


async def test_an_integration_is_deleted_beside_a_sync_that_has_just_begun(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        integration = await b.integration()
        facts = {"id": integration}
        async with b.sessions.begin() as edit, b.sessions.begin() as step:
            await edit.execute(text("SELECT FROM integrations WHERE id = :id FOR NO KEY UPDATE"), facts)
            service = b.components[IntegrationService]
            deleting = asyncio.create_task(service.delete(integration, principal=ADMIN))
            await b.somebody_waits()
            run_id = await b.start(integration)
            await step.execute(text("SELECT FROM sync_runs WHERE id = :id FOR UPDATE"), {"id": run_id})
            await edit.rollback()
            await b.somebody_waits()

            await step.execute(text("SELECT FROM integrations WHERE id = :id FOR KEY SHARE"), facts)

        await deleting
        assert await b.rows("SELECT id FROM integrations") == []


async def test_an_integration_is_not_locked_while_its_deletion_waits_for_a_rollback(database_url: str) -> None:
    """Which wants the integration as well, in the end: PostgreSQL would end one of the two."""
    async with bench(database_url) as b:
        integration = await b.integration()
        await b.sync(integration)
        async with b.sessions.begin() as rollback:
            await rollback.execute(text("SELECT FROM datasets FOR UPDATE"))
            service = b.components[IntegrationService]
            deleting = asyncio.create_task(service.delete(integration, principal=ADMIN))
            await b.somebody_waits()

            await rollback.execute(text("SELECT FROM integrations FOR UPDATE NOWAIT"))

        await deleting
        assert await b.rows("SELECT id FROM integrations") == []


async def test_a_run_is_not_locked_while_resuming_it_waits_for_its_version_to_be_published(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=5) as b, served(b) as api:
        _, held = await _sync_that_loses_most(b)
        async with b.sessions.begin() as publishing:
            await publishing.execute(text("SELECT FROM datasets FOR UPDATE"))
            resuming = asyncio.create_task(api.client.post(f"/integrations/runs/{held.id}/resume"))
            await b.somebody_waits()

            await publishing.execute(text("SELECT FROM sync_runs FOR UPDATE NOWAIT"))

        answer = await resuming
        assert (answer.status_code, answer.json()["message"]) == (
            409,
            "Only a failed run can be resumed; this one is held",
        )


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
        assert (name, last["held"], last["stats"]["last_synced"]) == ("complete", True, None)
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
        integration, _ = await _sync_that_loses_most(b, scheduled=True)

        answer = await api.client.post(f"/knowledge/datasets/{integration}/versions/2/discard")

        assert answer.json() == {"success": True, "message": "Version 2 was discarded"}
        assert len(await b.titles(integration)) == 10
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        assert shown["paused"].endswith(": the next full sync finds the same changes again")
        b.source.delete_log.clear()
        assert (await b.sync(integration)).deleted == 0
        again = await b.sync(integration, mode="full")
        assert (again.state, again.version) == ("held", 3)
        b.source.fill(10)
        healed = await b.sync(integration, mode="full")
        assert (healed.state, healed.deleted) == ("succeeded", 0)
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        assert shown["paused"] == "Version 3 was held, and discarded by the sync that came next"
        assert (await api.client.get(f"/knowledge/datasets/{integration}/versions/3")).status_code == 404


async def test_a_held_version_of_a_deleted_integration_can_only_be_discarded(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=5) as b:
        integration, _ = await _sync_that_loses_most(b)
        control = b.components[RunControl]
        await b.components[IntegrationService].delete(integration, principal=ADMIN)

        with pytest.raises(Conflict, match="it can only be discarded"):
            await control.publish_held(integration, 2, principal=ADMIN)
        await control.discard_held(integration, 2, principal=ADMIN)

        (version,) = await b.rows("SELECT state FROM versions WHERE number = 2")
        assert (version.state, len(await b.titles(integration))) == ("abandoned", 10)
        assert await _planned_by(b) == set()


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


async def test_a_rollback_of_what_a_deleted_integration_left_promises_no_further_sync(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(2)
        integration = await b.integration()
        await b.sync(integration)
        b.source.add("INC00003")
        await b.sync(integration)
        await b.components[IntegrationService].delete(integration, principal=ADMIN)
        path = f"/knowledge/datasets/{integration}"

        answer = (await api.client.post(f"{path}/versions/1/rollback", json={"reason": "a bad import"})).json()

        verdict = (await api.client.get(path)).json()["dataset"]["verdict"]
        assert answer["message"] == "Version 3 now equals version 1."
        assert (verdict["state"], verdict["why"]) == ("unknown", "rolled back to version 1")


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


@pytest.mark.parametrize("decision", ["publish", "discard", "rollback"])
async def test_a_decision_about_what_is_not_there_names_what_is_missing_as_reading_does(
    database_url: str, decision: str
) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(1)
        integration = await b.integration()
        await b.sync(integration)

        said = []
        for dataset, number in ((integration, 7), (UUID(int=7), 1)):
            path = f"/knowledge/datasets/{dataset}/versions/{number}"
            read = await api.client.get(path)
            decided = await api.client.post(f"{path}/{decision}", json={"reason": "a wrong filter"})
            said.append((read.status_code, read.json()["message"], decided.status_code, decided.json()["message"]))

        assert said == [
            (404, "There is no version 7", 404, "There is no version 7"),
            (404, "Dataset not found", 404, "Dataset not found"),
        ]


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
        first, last = await b.sync(integration), await b.sync(integration)

        latest = await api.watch("GET", path)
        named = await api.watch("GET", path, headers={"Last-Event-ID": f"{first.id}:1"})
        wrong = await api.client.get(path, headers={"Last-Event-ID": "1"})
        other = await api.client.get(f"/integrations/runs/{last.id}/events?last_event_id={first.id}:1")

        assert len(latest) == 2
        assert named[0].id == f"{first.id}:2"
        assert (wrong.status_code, [one["field"] for one in wrong.json()["errors"]]) == (422, ["Last-Event-ID"])
        assert (other.status_code, other.json()["message"]) == (
            422,
            "Last-Event-ID: belongs to another run; ask for that run's events",
        )
