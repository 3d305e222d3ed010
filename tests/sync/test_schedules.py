"""Scheduled syncs: due once, missed times count as one, failures pause."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from integrations_api.clock import utc_now
from integrations_api.connectors.errors import Refused
from integrations_api.errors import InvalidInput
from integrations_api.integrations.for_sync import take_due
from integrations_api.integrations.schedules import Schedule, read_schedule
from integrations_api.integrations.service import IntegrationService
from tests.support.gates import publishing_gate
from tests.support.served import served
from tests.support.syncing import ADMIN, PATIENCE, Bench, bench

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "due"),
    [
        ("*/15 * * * *", "UTC", "2026-03-02T12:15:00+00:00"),
        ("0 6 * * 1-5", "Europe/Berlin", "2026-03-03T05:00:00+00:00"),
        ("30 23 * * *", "America/New_York", "2026-03-03T04:30:00+00:00"),
    ],
)
def test_a_schedule_tells_its_next_time_in_utc(cron: str, zone: str, due: str) -> None:
    assert Schedule(cron, zone).next_after(NOON).isoformat() == due


@pytest.mark.parametrize(
    ("cron", "zone", "after", "due"),
    [
        # 02:30 is not there: the clocks go from 2 to 3.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("0 * * * *", "Europe/Berlin", "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-29T02:00"]),
        # It is there twice: they go from 3 to 2.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-25T01:30"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-24T23:30", ["2026-10-25T00:00", "2026-10-25T01:00"]),
        # By half an hour only.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["2026-10-03T15:30", "2026-10-04T15:15"]),
    ],
)
def test_over_a_change_of_clocks_nothing_is_left_out(cron: str, zone: str, after: str, due: list[str]) -> None:
    schedule, moment, found = Schedule(cron, zone), datetime.fromisoformat(f"{after}:00+00:00"), []

    for _ in due:
        moment = schedule.next_after(moment)
        found.append(moment.isoformat()[:16])

    assert found == due


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("R R * * *", "UTC", "cron"),
        ("0 R(1-5) * * *", "UTC", "cron"),
        ("* * * * * *", "UTC", "cron"),
        ("@daily", "UTC", "cron"),
        ("61 * * * *", "UTC", "cron"),
        ("0 0 30 2 *", "UTC", "cron"),
        ("0 0 * * *", "Mars/Olympus", "time_zone"),
        ("0 0 * * *", "../etc/passwd", "time_zone"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(cron: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_schedule(cron, zone, now=NOON)

    assert [problem.field for problem in caught.value.problems] == [field]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("@daily", "must be five fields: minute hour day month weekday, such as 0 6 * * 1-5"),
        ("61 * * * *", "has a minute that cannot be read: 0 to 59, in a list, range or step, or *"),
        ("0 25 * * *", "has an hour that cannot be read: 0 to 23, in a list, range or step, or *"),
        ("0 6 0 * *", "has a day that cannot be read: 1 to 31, in a list, range or step, or *"),
        ("0 6 * 13 *", "has a month that cannot be read: 1 to 12, in a list, range or step, or *"),
        ("0 6 * * 1-9", "has a weekday that cannot be read: 0 (Sunday) to 7, in a list, range or step, or *"),
        ("R R * * *", "has a minute that cannot be read: 0 to 59, in a list, range or step, or *"),
    ],
)
def test_the_field_of_a_schedule_that_cannot_be_read_is_named(cron: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_schedule(cron, "UTC", now=NOON)

    assert caught.value.message == f"cron: {words}"


async def _make_due(b: Bench, integration: UUID, *, since: timedelta) -> None:
    """By a schedule whose next time is far away: it does not come while a test looks at it."""
    daily = Schedule(f"0 {(utc_now().hour + 12) % 24} * * *", "UTC")
    await b.components[IntegrationService].set_schedule(integration, daily, principal=ADMIN)
    await b.change("UPDATE integrations SET next_sync_at = now() - CAST(:since AS interval)", since=since)


async def _shown(b: Bench, integration: UUID) -> dict[str, Any]:
    return (await b.components[IntegrationService].get(integration)).integration


@pytest.mark.anyio
async def test_a_due_sync_of_an_active_integration_starts_once_however_many_look_and_is_dated_by_the_database(
    database_url: str,
) -> None:
    async with bench(database_url, workers=0) as b:
        b.source.fill(2)
        integration, disabled = await b.integration(), await b.integration()
        for each in (integration, disabled):
            await _make_due(b, each, since=timedelta(hours=30))
        await b.change("UPDATE integrations SET is_active = false WHERE id = :id", id=disabled)

        ahead = timedelta(minutes=5)

        await asyncio.gather(*(b.duties(clock=lambda: utc_now() + ahead).start_due() for _ in range(5)))

        runs = await b.rows("SELECT id, integration_id, trigger, created_at <= now() AS is_past FROM sync_runs")
        assert [(run.integration_id, run.trigger, run.is_past) for run in runs] == [(integration, "schedule", True)]
        b.start_worker()
        assert (await b.finished(runs[0].id)).added == 2
        shown = await _shown(b, integration)
        assert datetime.fromisoformat(shown["next_sync_at"]) > datetime.now(UTC)
        stands_still = await _shown(b, disabled)
        assert (stands_still["next_sync_at"], stands_still["schedule"]) == (None, shown["schedule"])


@pytest.mark.anyio
async def test_a_machine_whose_clock_is_ahead_for_a_moment_neither_starts_early_nor_moves_the_next_time_on(
    database_url: str,
) -> None:
    async with bench(database_url, workers=0) as b:
        due, later = await b.integration(), await b.integration()
        for each in (due, later):
            await _make_due(b, each, since=timedelta(minutes=1))
        await b.change("UPDATE integrations SET next_sync_at = now() + interval '30 minutes' WHERE id = :id", id=later)

        await b.duties(clock=lambda: utc_now() + timedelta(days=365)).start_due()

        runs = await b.rows("SELECT integration_id FROM sync_runs")
        assert [run.integration_id for run in runs] == [due]
        in_a_day = datetime.now(UTC) + timedelta(days=1)
        for one in (due, later):
            assert datetime.fromisoformat((await _shown(b, one))["next_sync_at"]) <= in_a_day


@pytest.mark.anyio
async def test_a_schedule_that_comes_due_waits_for_no_step_of_the_sync_that_is_going_on(database_url: str) -> None:
    """It has locked the integration, which the last step needs as well: PostgreSQL would end one of the two."""
    async with bench(database_url) as b:
        b.source.fill(3)
        integration = await b.integration()
        async with publishing_gate(database_url) as publishing:
            run_id = await b.start(integration)
            await publishing.reached()
            await _make_due(b, integration, since=timedelta(minutes=1))

            await asyncio.wait_for(b.duties().start_due(), PATIENCE)

            await publishing.open()
            assert (await b.finished(run_id)).state == "succeeded"
        assert len(await b.rows("SELECT id FROM sync_runs")) == 1
        shown = await _shown(b, integration)
        assert datetime.fromisoformat(shown["next_sync_at"]) > datetime.now(UTC)


@pytest.mark.anyio
async def test_a_sync_can_be_started_by_hand_while_its_schedule_is_looked_at(database_url: str) -> None:
    """The schedule would wait for that run, and must not be waited for by it."""
    async with bench(database_url, workers=0) as b:
        integration = await b.integration()
        await _make_due(b, integration, since=timedelta(minutes=1))
        async with b.sessions.begin() as session:
            due = await take_due(session, limit=1)

            run_id = await asyncio.wait_for(b.start(integration), PATIENCE)

        assert (due, (await b.run(run_id)).trigger) == ([integration], "manual")


@pytest.mark.anyio
async def test_a_schedule_pauses_itself_after_failures_in_a_row_and_says_so(database_url: str) -> None:
    async with bench(database_url, sync_pause_after_failures=2) as b, served(b) as api:
        b.source.fill(1)
        integration = await b.integration()
        await _make_due(b, integration, since=timedelta(hours=-1))
        b.source.fail_at_page, b.source.failure = 0, Refused("User Not Authenticated")

        await b.sync(integration)
        assert (await _shown(b, integration))["paused"] is None
        await b.sync(integration)

        shown = await _shown(b, integration)
        assert shown["paused"].startswith("2 syncs failed in a row. The last one said: Failed to fetch")
        assert shown["next_sync_at"] is None
        path = f"/integrations/schedule/{integration}"
        again = (await api.client.put(path, json={"cron": "0 6 * * *", "time_zone": "UTC"})).json()["integration"]
        assert (again["paused"], again["schedule"]["cron"]) == (None, "0 6 * * *")
        ended = (await api.client.put(path, content="null", headers={"Content-Type": "application/json"})).json()
        assert (ended["integration"]["schedule"], ended["integration"]["next_sync_at"]) == (None, None)
        wrong = await api.client.put(path, json={"cron": "often", "time_zone": "UTC"})
        assert wrong.status_code == 422
