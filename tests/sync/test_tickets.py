"""A ticket for a run's stream ends with the token or the API key that it was asked for with."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.sync.tickets import Tickets
from tests.support.applications import LiveApp, live_app
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

MAY = ("integration.view", "user.manage")


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Scene:
    """A run that has ended, so that watching it answers at once: 204, or 401."""

    live: LiveApp
    clock: Clock
    email: str
    person: dict[str, str]
    events: str

    async def ticket(self, headers: dict[str, str]) -> str:
        """A ticket that was used in its first minute."""
        ticket = await self.unused_ticket(headers)
        assert await self.watch(ticket) == 204
        return ticket

    async def unused_ticket(self, headers: dict[str, str]) -> str:
        given = await self.live.client.post(self.events.replace("/events", "/ticket"), headers=headers)
        ticket: str = given.json()["ticket"]
        return ticket

    async def watch(self, ticket: str) -> int:
        return (await self.live.client.get(self.events, params={"ticket": ticket})).status_code

    async def key(self, *permissions: str, days: int = 90) -> tuple[dict[str, str], str]:
        """The headers of a fresh API key, and its id."""
        body = {"name": "watcher", "permissions": permissions or ["integration.view"], "expires_in_days": days}
        made = (await self.live.client.post("/auth/api-keys", json=body, headers=self.person)).json()
        return {"Authorization": f"Bearer {made['key']}"}, made["api_key"]["id"]


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    clock, run_id = Clock(), uuid4()
    async with live_app(database_url, clock=clock) as live:
        sessions: Any = live.components[async_sessionmaker]
        async with sessions.begin() as session:
            row = (
                "INSERT INTO sync_runs (id, dataset_id, mode, trigger, state) VALUES (:id, :id, 'full', 'x', 'failed')"
            )
            await session.execute(text(row), {"id": run_id})
        email = await live.user(MAY)
        person = await live.credentials_of(email)
        yield Scene(live, clock, email, person, f"/integrations/runs/{run_id}/events")


async def test_it_ends_when_the_token_would_have_ended(scene: Scene) -> None:
    ticket = await scene.ticket(scene.person)

    scene.clock.now += timedelta(minutes=59)
    before = await scene.watch(ticket)
    scene.clock.now += timedelta(minutes=1)

    assert (before, await scene.watch(ticket)) == (204, 401)


async def test_it_is_good_for_nothing_after_a_minute_in_which_nobody_used_it(scene: Scene) -> None:
    late, in_time = [await scene.unused_ticket(scene.person) for _ in range(2)]

    scene.clock.now += timedelta(seconds=59)
    used = await scene.watch(in_time)
    scene.clock.now += timedelta(seconds=1)

    assert (used, await scene.watch(late), await scene.watch(in_time)) == (204, 401, 204)

    await scene.live.components[Tickets].prune()
    async with scene.live.components[AsyncEngine].connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM stream_tickets")) == 1


async def test_one_that_was_used_serves_reconnects_while_the_database_can_only_be_read(scene: Scene) -> None:
    ticket = await scene.ticket(scene.person)
    engine = scene.live.components[AsyncEngine]
    async with engine.begin() as connection:
        await connection.execute(text(f'ALTER DATABASE "{engine.url.database}" SET default_transaction_read_only = on'))
    await engine.dispose()

    assert await scene.watch(ticket) == 204


async def test_it_ends_with_a_sign_out(scene: Scene) -> None:
    ticket = await scene.ticket(scene.person)

    await scene.live.client.post("/auth/logout", headers=scene.person)

    assert await scene.watch(ticket) == 401


async def test_it_ends_when_its_api_key_is_deleted_but_not_when_another_is(scene: Scene) -> None:
    key, id_ = await scene.key()
    _, other = await scene.key()
    ticket = await scene.ticket(key)

    await scene.live.client.delete(f"/auth/api-keys/{other}", headers=scene.person)
    before = await scene.watch(ticket)
    await scene.live.client.delete(f"/auth/api-keys/{id_}", headers=scene.person)

    assert (before, await scene.watch(ticket)) == (204, 401)


async def test_it_ends_when_its_api_key_expires(scene: Scene) -> None:
    key, _ = await scene.key(days=1)
    scene.clock.now += timedelta(hours=12)
    ticket = await scene.ticket(key)

    scene.clock.now += timedelta(hours=11)
    before = await scene.watch(ticket)
    scene.clock.now += timedelta(hours=1)

    assert (before, await scene.watch(ticket)) == (204, 401)


async def test_it_ends_when_its_user_is_disabled_or_may_watch_no_more(scene: Scene) -> None:
    key, _ = await scene.key()
    tickets = [await scene.ticket(headers) for headers in (key, scene.person)]

    await scene.live.access.set_permissions(scene.email, ["knowledge.view"])
    without = [await scene.watch(ticket) for ticket in tickets]
    await scene.live.access.disable_user(scene.email)

    assert without == [403, 403]
    assert [await scene.watch(ticket) for ticket in tickets] == [401, 401]


async def _somebody_waits(sessions: Any) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    async with asyncio.timeout(PATIENCE):
        while True:
            async with sessions() as session:
                if (await session.execute(text(waiting))).all():
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("deleted", "told"),
    [
        ("sync_runs", (404, "Sync run not found")),
        ("api_keys", (401, "The API key is not valid or has expired: make a new one")),
    ],
)
async def test_none_is_given_for_a_run_or_to_a_key_that_is_just_being_deleted(
    scene: Scene, deleted: str, told: tuple[int, str]
) -> None:
    key, _ = await scene.key()
    sessions: Any = scene.live.components[async_sessionmaker]
    async with sessions.begin() as session:
        await session.execute(text(f"DELETE FROM {deleted}"))
        asking = asyncio.create_task(scene.live.client.post(scene.events.replace("/events", "/ticket"), headers=key))
        await _somebody_waits(sessions)

    answer = await asking

    assert (answer.status_code, answer.json()["message"]) == told


async def test_a_ticket_of_an_api_key_may_no_more_than_the_key(scene: Scene) -> None:
    key, _ = await scene.key("user.manage")

    given = await scene.live.client.post(scene.events.replace("/events", "/ticket"), headers=key)

    assert given.status_code == 403


async def test_one_from_before_the_upgrade_is_good_for_a_day_and_then_forgotten(scene: Scene) -> None:
    ticket = await scene.ticket(scene.person)
    sessions: Any = scene.live.components[async_sessionmaker]
    async with sessions.begin() as session:
        await session.execute(text("UPDATE stream_tickets SET expires_at = NULL"))

    scene.clock.now += timedelta(hours=23)
    await scene.live.components[Tickets].prune()
    before = await scene.watch(ticket)
    scene.clock.now += timedelta(hours=1)
    after = await scene.watch(ticket)
    scene.clock.now += timedelta(seconds=1)
    await scene.live.components[Tickets].prune()

    assert (before, after) == (204, 401)
    async with sessions() as session:
        assert not await session.scalar(text("SELECT count(*) FROM stream_tickets"))
