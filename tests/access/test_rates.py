"""Expensive routes draw from an allowance that all replicas share."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access import rates
from integrations_api.access.rates import Rate, Rates
from integrations_api.errors import TooManyRequests
from tests.support.applications import LiveApp, live_app

pytestmark = pytest.mark.anyio

NOT_THERE = uuid4()
ADA, BOB = UUID(int=1), UUID(int=2)


async def draw(live: LiveApp, times: int, rate: Rate = Rate.EXPORT, user: UUID = ADA) -> int:
    """How many of so many requests at once are let through."""
    draws = live.components[Rates]
    drawn = await asyncio.gather(*(draws.draw(rate, user) for _ in range(times)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, TooManyRequests) for outcome in drawn)
    return drawn.count(None)


async def fill_up(live: LiveApp, seconds: int) -> None:
    async with live.components[AsyncEngine].begin() as connection:
        await connection.execute(text(f"UPDATE rate_buckets SET full_at = full_at - interval '{seconds} s'"))


async def test_beyond_the_allowance_a_request_is_told_when_to_come_back(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0.1) as live:
        headers, path = await live.credentials(), f"/integrations/test/{NOT_THERE}"
        first, second = [await live.client.post(path, headers=headers) for _ in range(2)]
        other = await live.client.post(path, headers=await live.credentials())

    assert (first.status_code, second.status_code, other.status_code) == (404, 429, 404)
    assert 1 <= int(second.headers["Retry-After"]) <= 30
    assert second.json()["message"].startswith("Too many requests of this kind")


async def test_requests_at_the_same_moment_over_two_replicas_draw_from_one_bucket(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0.1) as one, live_app(database_url) as other:
        other.components[Rates]._factor = 0.1  # One at once, two a minute.

        let_through = sum(await asyncio.gather(draw(one, 10), draw(other, 10)))

    assert let_through == 1


async def test_the_allowance_comes_back_with_time_and_not_beyond_what_it_was(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0.1) as live:
        counts = [await draw(live, 3)]
        await fill_up(live, 30)
        counts.append(await draw(live, 3))
        await fill_up(live, 3600)
        counts.append(await draw(live, 3))

    assert counts == [1, 1, 1]


async def test_each_user_and_each_kind_has_an_allowance_of_its_own(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0.1) as live:
        counts = [await draw(live, 2), await draw(live, 2, user=BOB), await draw(live, 2, Rate.TRIAL)]

    assert counts == [1, 1, 1]


async def test_who_searches_with_eight_clients_for_as_long_as_a_measurement_takes_is_not_refused(
    database_url: str,
) -> None:
    async with live_app(database_url) as live:
        assert await draw(live, 200, Rate.SEARCH) == 200
        assert await draw(live, 300, Rate.SEARCH) < 200


async def test_limits_can_be_switched_off(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0) as live:
        assert await draw(live, 50) == 50


async def test_however_small_a_factor_one_request_is_allowed_at_a_time(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0.001) as live:  # One in 2,000 seconds.
        first = await draw(live, 2)
        await fill_up(live, 2001)

        assert (first, await draw(live, 2)) == (1, 1)


async def test_full_buckets_are_forgotten(database_url: str) -> None:
    async with live_app(database_url) as live:
        await draw(live, 1)
        await fill_up(live, 3600)
        await live.components[Rates].prune()
        async with live.components[AsyncEngine].connect() as connection:
            left = await connection.scalar(text("SELECT count(*) FROM rate_buckets"))

    assert left == 0


async def test_who_is_refused_by_a_bucket_that_is_full_and_pruned_a_moment_later_is_let_through(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = "SELECT 1 WHERE CAST($1 AS text) = '' AND CAST($2 AS interval) > CAST($3 AS interval)"
    monkeypatch.setattr(rates, "_TAKE", refusing)
    async with live_app(database_url) as live:
        assert await draw(live, 1) == 1


async def test_what_leaves_a_row_behind_is_bounded_for_who_may_least(database_url: str) -> None:
    async with live_app(database_url, access_rate_factor=0.01) as live:  # One at a time of each.
        headers = await live.credentials(["integration.view"])
        key = {"name": "script", "permissions": ["integration.view"], "expires_in_days": 1}

        denied = [await live.client.get("/audit", headers=headers) for _ in range(3)]
        tickets = [await live.client.post(f"/integrations/runs/{NOT_THERE}/ticket", headers=headers) for _ in range(2)]
        keys = [await live.client.post("/auth/api-keys", headers=headers, json=key) for _ in range(2)]
        async with live.components[AsyncEngine].connect() as connection:
            question = text(
                "SELECT action, count(*) AS n FROM audit_entries WHERE action ~ 'denied|api_key' GROUP BY 1"
            )
            written = {row.action: row.n for row in await connection.execute(question)}

    assert [answer.status_code for answer in denied] == [403, 403, 403]
    assert [answer.status_code for answer in tickets] == [404, 429]
    assert [answer.status_code for answer in keys] == [201, 429]
    assert written == {"access.denied": 1, "auth.create_api_key": 1}
