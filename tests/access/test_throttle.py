"""Sign-ins that fail have to wait, on every replica; strangers keep nobody out of where he has been."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from integrations_api.access.administration import UserAdministration
from integrations_api.access.passwords import HashCost, Passwords
from integrations_api.access.throttle import LONGEST_WAIT, SignInThrottle, network_of_request, wait_after
from integrations_api.api.current import RequestContext, serving
from tests.support.applications import PASSWORD, LiveApp, live_app
from tests.support.syncing import ADMIN

pytestmark = pytest.mark.anyio

OFFICE, ATTACKER = "192.0.2.1", "198.51.100.7"


@dataclass
class Door:
    """The sign-in route, knocked at from any address."""

    live: LiveApp

    async def knock(self, email: str, password: str = "wrong", *, at: str = ATTACKER) -> httpx.Response:
        transport = httpx.ASGITransport(self.live.app, client=(at, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/auth/token", data={"username": email, "password": password})

    async def statuses(self, count: int, email: str, password: str = "wrong", *, at: str = ATTACKER) -> list[int]:
        return [(await self.knock(email, password, at=at)).status_code for _ in range(count)]

    async def pass_time(self, seconds: float) -> None:
        """As if so much time had passed for the counters."""
        change = (
            f"UPDATE sign_in_counters SET last_at = last_at - interval '{seconds} s', "
            f"blocked_until = blocked_until - interval '{seconds} s'"
        )
        await self.change(change)

    async def change(self, statement: str) -> None:
        async with self.live.components[AsyncEngine].begin() as connection:
            await connection.execute(text(statement))

    async def rows(self, question: str) -> list[Any]:
        async with self.live.components[AsyncEngine].connect() as connection:
            return list((await connection.execute(text(question))).all())


@asynccontextmanager
async def door(database_url: str) -> AsyncIterator[Door]:
    async with live_app(database_url) as live:
        # A slow machine must not outlast a wait; tests pass time by themselves.
        live.components[SignInThrottle].first_wait = timedelta(minutes=5)
        yield Door(live)


async def test_after_five_wrong_passwords_the_right_one_has_to_wait_too(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        wrong = await at_door.statuses(6, email)
        waiting = await at_door.knock(email, PASSWORD)
        await at_door.pass_time(301)
        after = await at_door.knock(email, PASSWORD)

    assert wrong == [401] * 6
    seconds = int(waiting.headers["Retry-After"])
    assert 200 < seconds <= 300
    assert waiting.status_code == 429
    assert waiting.json() == {"success": False, "message": f"Too many attempts: wait {seconds} seconds"}
    assert after.status_code == 200


async def test_an_account_that_does_not_exist_waits_alike(database_url: str) -> None:
    async with door(database_url) as at_door:
        statuses = await at_door.statuses(7, "nobody@example.com")

    assert statuses == [401] * 6 + [429]


async def test_strangers_do_not_keep_a_user_out_of_where_he_has_been(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        await at_door.knock(email, PASSWORD, at=OFFICE)
        await at_door.statuses(7, email, at=ATTACKER)

        elsewhere = await at_door.knock(email, PASSWORD, at="203.0.113.9")
        office = await at_door.knock(email, PASSWORD, at=OFFICE)
        await at_door.change("UPDATE known_addresses SET seen_at = now() - interval '91 days'")
        long_ago = await at_door.knock(email, PASSWORD, at=OFFICE)

    assert (elsewhere.status_code, office.status_code, long_ago.status_code) == (429, 200, 429)


async def test_of_a_user_the_twenty_addresses_are_known_where_he_was_last(database_url: str) -> None:
    async with door(database_url) as at_door:
        user = await at_door.live.access.create_user(email="ada@x.org", password=PASSWORD, permissions=[])
        for n in range(22):
            with serving(RequestContext(request_id="r", address=f"192.0.2.{n}")):
                await at_door.live.components[SignInThrottle].know_address(user.id)
        known = await at_door.rows("SELECT address FROM known_addresses")

    assert {row.address for row in known} == {f"192.0.2.{n}" for n in range(2, 22)}


async def test_who_has_set_his_password_by_a_link_is_known_there_and_waits_for_no_stranger(database_url: str) -> None:
    async with door(database_url) as at_door:
        user = await at_door.live.access.create_user(email="ada@x.org", password=PASSWORD, permissions=[])
        await at_door.statuses(6, user.email)
        administration = at_door.live.components[UserAdministration]
        _, link = await administration.reset(user.id, by=ADMIN)
        with serving(RequestContext(request_id="r", address=OFFICE)):
            await administration.accept(link.token, PASSWORD)

        office = await at_door.knock(user.email, PASSWORD, at=OFFICE)

    assert office.status_code == 200


async def test_a_right_password_takes_back_its_own_wait_and_nobody_elses(database_url: str) -> None:
    async with door(database_url) as at_door:
        user = await at_door.live.access.create_user(email="ada@x.org", password=PASSWORD, permissions=[])
        throttle = at_door.live.components[SignInThrottle]
        charges = [await throttle.charge("ada@x.org") for _ in range(6)]
        # Somebody else fails before the password was looked at.
        await at_door.change("UPDATE sign_in_counters SET failures = 7, blocked_until = now() + interval '10 minutes'")

        await throttle.forgive(charges[-1], user.id)

        (counter,) = await at_door.rows("SELECT failures, blocked_until FROM sign_in_counters")

    assert (counter.failures, counter.blocked_until is None) == (6, False)


async def test_at_a_known_address_too_guesses_have_to_wait(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        await at_door.knock(email, PASSWORD, at=OFFICE)

        statuses = await at_door.statuses(12, email, at=OFFICE)

    assert statuses == [401] * 11 + [429]


async def test_one_address_that_tries_many_accounts_has_to_wait(database_url: str) -> None:
    async with door(database_url) as at_door:
        statuses = [(await at_door.knock(f"user-{n}@example.com")).status_code for n in range(22)]
        elsewhere = await at_door.knock("user-99@example.com", at=OFFICE)

    assert statuses == [401] * 21 + [429]
    assert elsewhere.status_code == 401


async def test_signing_in_to_an_own_account_does_not_clean_an_addresss_counter(database_url: str) -> None:
    async with door(database_url) as at_door:
        own = [await at_door.live.user() for _ in range(3)]
        statuses = []
        for n in range(22):
            if n % 8 == 7:
                await at_door.knock(own.pop(), PASSWORD)
            statuses.append((await at_door.knock(f"user-{n}@example.com")).status_code)

    assert statuses[-1] == 429


async def test_guesses_at_the_same_moment_are_counted_one_after_the_other(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()

        answers = await asyncio.gather(*(at_door.knock(email) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [401] * 6 + [429] * 14


async def test_another_replica_makes_it_wait_as_well(database_url: str) -> None:
    async with door(database_url) as one, door(database_url) as other:
        email = await one.live.user()
        await one.statuses(6, email)

        answer = await other.knock(email, at=OFFICE)

    assert answer.status_code == 429


async def test_an_attempt_while_waiting_makes_the_wait_no_longer(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        await at_door.statuses(6, email)
        await at_door.statuses(10, email)

        counts = await at_door.rows("SELECT failures FROM sign_in_counters WHERE key LIKE 'account:%'")

    assert counts == [(6,)]


async def test_a_day_without_failures_is_forgotten(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        await at_door.statuses(6, email)
        await at_door.pass_time(24 * 3600 + 1)
        again = await at_door.statuses(6, email)
        await at_door.pass_time(24 * 3600 + 1)
        await at_door.live.components[SignInThrottle].prune()
        left = await at_door.rows("SELECT 1 FROM sign_in_counters")

    assert again == [401] * 6
    assert left == []


async def test_where_a_user_was_last_three_months_ago_is_forgotten(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        for address, days in ((OFFICE, 91), (ATTACKER, 89)):
            await at_door.knock(email, PASSWORD, at=address)
            seen = f"seen_at = now() - interval '{days} days'"
            await at_door.change(f"UPDATE known_addresses SET {seen} WHERE address = '{address}'")

        await at_door.live.components[SignInThrottle].prune()

        assert await at_door.rows("SELECT address FROM known_addresses") == [(ATTACKER,)]


async def test_who_changes_his_password_again_and_again_has_not_to_wait(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        headers, statuses = await at_door.live.credentials_of(email), []
        for _ in range(7):
            body = {"current_password": PASSWORD, "new_password": PASSWORD}
            changed = await at_door.live.client.post("/auth/password", json=body, headers=headers)
            statuses.append(changed.status_code)
            headers = {"Authorization": f"Bearer {changed.json().get('access_token')}"}

    assert statuses == [200] * 7


async def test_who_signs_in_while_his_counters_are_forgotten_is_let_in(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        await at_door.statuses(2, email, PASSWORD)
        await at_door.pass_time(24 * 3600 + 1)
        read = AsyncSession.scalars

        async def read_after_a_prune(session: AsyncSession, *args: Any, **options: Any) -> Any:
            monkeypatch.setattr(AsyncSession, "scalars", read)
            await at_door.live.components[SignInThrottle].prune()
            return await read(session, *args, **options)

        monkeypatch.setattr(AsyncSession, "scalars", read_after_a_prune)

        answer = await at_door.knock(email, PASSWORD)

    assert answer.status_code == 200


async def test_changing_a_password_is_no_way_around_the_wait(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        headers = await at_door.live.credentials_of(email)
        body = {"current_password": "wrong", "new_password": "a long sentence of my own"}

        answers = [await at_door.live.client.post("/auth/password", json=body, headers=headers) for _ in range(7)]

    assert [answer.status_code for answer in answers] == [422] * 6 + [429]


async def test_refusals_are_recorded_without_what_was_typed(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        await at_door.knock(email, "typed-password")
        await at_door.knock("typed-into-the-wrong-field")
        entries = await at_door.rows("SELECT * FROM audit_entries WHERE action = 'auth.sign_in_refused' ORDER BY id")
        counters = await at_door.rows("SELECT * FROM sign_in_counters")

    assert [(entry.actor, entry.address) for entry in entries] == [(email, ATTACKER), ("unknown", ATTACKER)]
    assert "typed" not in str(entries) + str(counters)


async def test_a_password_is_stored_anew_when_the_cost_has_changed(database_url: str) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()
        at_door.live.access._passwords = Passwords(HashCost(memory_kib=16, passes=1, lanes=1))

        statuses = await at_door.statuses(2, email, PASSWORD)
        ((stored,),) = await at_door.rows("SELECT password_hash FROM users")

    assert statuses == [200, 200]
    assert "m=16," in stored


async def test_a_password_that_is_changed_while_it_is_stored_anew_stays_changed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door(database_url) as at_door:
        email = await at_door.live.user()

        async def renewed_while_it_is_changed(*_: object) -> str:
            await at_door.change("UPDATE users SET password_hash = 'the new one'")
            return "the old one"

        monkeypatch.setattr(Passwords, "renewed", renewed_while_it_is_changed)
        await at_door.knock(email, PASSWORD)
        ((stored,),) = await at_door.rows("SELECT password_hash FROM users")

    assert stored == "the new one"


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (5, 0), (6, 1), (7, 2), (8, 4), (15, 512), (16, 900), (10**9, 900)]
)
def test_waits_double_up_to_a_quarter_of_an_hour(failures: int, seconds: int) -> None:
    assert wait_after(failures, free=5) == timedelta(seconds=seconds) <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("testclient", None),
        (None, None),
    ],
)
def test_an_ipv6_customer_is_one_address(address: str | None, network: str | None) -> None:
    with serving(RequestContext(request_id="r", address=address)):
        assert network_of_request() == network
