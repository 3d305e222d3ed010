"""Each beginning and each end of a run is in the audit once: by whom, for what, and how it ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from integrations_api.clock import utc_now
from integrations_api.connectors.errors import Retryable
from integrations_api.integrations.schedules import Schedule
from integrations_api.integrations.service import IntegrationService
from integrations_api.sync.control import RunControl
from tests.support.served import served
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio


async def recorded(b: Bench, *actions: str) -> list[Any]:
    """Entries of these actions, oldest first."""
    return await b.rows("SELECT * FROM audit_entries WHERE action = ANY(:actions) ORDER BY id", actions=list(actions))


async def test_a_sync_that_succeeds_ends_in_an_entry_with_its_counts_and_verdict(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(7)
        integration = await b.integration()

        run = await b.sync(integration)
        start, end = await recorded(b, "sync.start", "sync.end")

    assert (start.actor, start.details) == (
        ADMIN.email,
        {"run_id": str(run.id), "mode": "incremental", "trigger": "manual"},
    )
    assert (end.actor, end.actor_id, end.credential, end.object_id) == ("worker", None, None, str(integration))
    assert end.details == {
        "run_id": str(run.id),
        "state": "succeeded",
        "mode": "full",
        "trigger": "manual",
        "requested_by": str(ADMIN.user_id),
        "added": 7,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "rejected": 0,
        "version": 1,
        "verdict": "complete",
    }


async def test_a_failed_sync_ends_in_an_entry_and_when_it_is_resumed_in_one_more(database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        b.source.fail_at_page, b.source.failure = 0, Retryable("cAnArY words of a source")
        failed = await b.sync(integration)
        b.source.failure = None
        await b.components[RunControl].resume(failed.id, principal=ADMIN)
        await b.finished(failed.id)
        found = await recorded(b, "sync.start", "sync.end", "sync.resume")

    told = [(entry.action, entry.actor, entry.details.get("state")) for entry in found]
    assert told == [
        ("sync.start", ADMIN.email, None),
        ("sync.end", "worker", "failed"),
        ("sync.resume", ADMIN.email, None),
        ("sync.end", "worker", "succeeded"),
    ]
    assert {entry.details["run_id"] for entry in found} == {str(failed.id)}
    assert "cAnArY" not in str(found)


async def test_who_cancels_a_sync_has_ended_it_with_his_credential_and_request(database_url: str) -> None:
    async with _going_on(database_url) as (b, integration), served(b) as api:
        answer = await api.client.post(f"/integrations/sync/{integration}/cancel", headers={"X-Request-ID": "r-1"})
        end, cancel = await recorded(b, "sync.cancel", "sync.end")

    assert (end.details["state"], end.details["verdict"]) == ("cancelled", None)
    assert answer.status_code == 200
    assert end.actor == cancel.actor
    assert end.actor.startswith("admin-")
    assert end.credential.startswith("token:")
    assert (end.request_id, end.address) == ("r-1", "127.0.0.1")


@pytest.mark.parametrize("purge", [False, True])
async def test_a_deleted_integration_ends_its_sync_in_one_entry(database_url: str, purge: bool) -> None:
    async with _going_on(database_url) as (b, integration):
        await b.components[IntegrationService].delete(integration, principal=ADMIN, purge=purge)
        async with asyncio.timeout(PATIENCE):
            while not (found := await recorded(b, "sync.end")):  # noqa: ASYNC110 - a worker writes it
                await asyncio.sleep(0.02)
        await b.stop_workers()
        again = await recorded(b, "sync.end")

    assert [(entry.actor, entry.details["state"]) for entry in found] == [
        (ADMIN.email if purge else "worker", "cancelled")
    ]
    assert again == found


async def test_a_held_version_ends_the_run_and_what_becomes_of_it_is_an_entry_each(database_url: str) -> None:
    async with bench(database_url, sync_delete_brake_minimum=2) as b:
        b.source.fill(4)
        integration = await b.integration()
        await b.sync(integration)
        for number in ("INC00001", "INC00002"):
            b.source.remove(number)
        control = b.components[RunControl]

        await b.sync(integration, mode="full")
        await b.sync(integration, mode="full")
        await control.discard_held(integration, 3, principal=ADMIN)
        held = await b.sync(integration, mode="full")
        await control.publish_held(integration, 4, principal=ADMIN)
        found = await recorded(b, "sync.end", "version.discard", "version.publish")

    told = [(entry.action, entry.actor, entry.details["version"], entry.details.get("state")) for entry in found]
    assert told == [
        ("sync.end", "worker", 1, "succeeded"),
        ("sync.end", "worker", 2, "held"),
        ("version.discard", "worker", 2, None),
        ("sync.end", "worker", 3, "held"),
        ("version.discard", ADMIN.email, 3, None),
        ("sync.end", "worker", 4, "held"),
        ("version.publish", ADMIN.email, 4, None),
    ]
    assert found[-1].details["run_id"] == str(held.id)


async def test_a_scheduled_sync_was_started_by_the_worker(database_url: str) -> None:
    async with bench(database_url, workers=0) as b:
        integration = await b.integration()
        schedule = Schedule(cron="* * * * *", time_zone="UTC")
        await b.components[IntegrationService].set_schedule(integration, schedule, principal=ADMIN)
        await b.change("UPDATE integrations SET next_sync_at = :due", due=utc_now() - timedelta(minutes=1))

        await b.duties().start_due()
        (start,) = await recorded(b, "sync.start")

    assert (start.actor, start.object_id) == ("worker", str(integration))
    assert (start.details["trigger"], start.details["mode"]) == ("schedule", "incremental")


async def test_an_end_that_is_not_committed_is_not_recorded(database_url: str) -> None:
    """The entry and the state are one transaction: where one is lost, both are, and the retry writes both once."""
    async with bench(database_url) as b:
        b.source.fill(2)
        integration = await b.integration()
        await b.change("CREATE SEQUENCE refusals")
        await b.change(_REFUSE_ONCE)
        await b.change(
            "CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON sync_runs DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW WHEN (NEW.state = 'succeeded') EXECUTE FUNCTION refuse_once()"
        )

        run = await b.sync(integration)
        ends = await recorded(b, "sync.end")
        (refused,) = await b.rows("SELECT last_value FROM refusals")

    assert refused.last_value >= 2
    assert run.state == "succeeded"
    assert [entry.details["state"] for entry in ends] == ["succeeded"]


# A sequence does not go back with a transaction: the first commit is refused as if the connection were lost.
_REFUSE_ONCE = """
    CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('refusals') = 1 THEN
            RAISE EXCEPTION 'lost' USING ERRCODE = '57P01';
        END IF;
        RETURN NULL;
    END $$
"""


@asynccontextmanager
async def _going_on(database_url: str) -> AsyncIterator[tuple[Bench, UUID]]:
    """An integration whose sync waits for its source."""
    async with bench(database_url) as b:
        b.source.fill(3)
        b.source.gate = asyncio.Event()
        integration = await b.integration()
        await b.start(integration)
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        try:
            yield b, integration
        finally:
            b.source.gate.set()
