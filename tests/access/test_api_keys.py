"""API keys: what a key may do, when it ends, and that it is shown once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access.one_time import is_api_key, new_api_key
from tests.support.applications import LiveApp, live_app
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


async def make(live: LiveApp, headers: dict[str, str], *permissions: str, **more: Any) -> httpx.Response:
    body = {"name": "nightly", "permissions": list(permissions) or ["knowledge.view"], **more}
    return await live.client.post("/auth/api-keys", json=body, headers=headers)


async def me(live: LiveApp, key: str) -> httpx.Response:
    return await live.client.get("/auth/me", headers={"Authorization": f"Bearer {key}"})


async def run(live: LiveApp, statement: str) -> list[Any]:
    async with live.components[AsyncEngine].begin() as connection:
        result = await connection.execute(text(statement))
        return list(result.all()) if result.returns_rows else []


async def test_a_key_does_what_it_is_for_and_nothing_else(database_url: str) -> None:
    async with live_app(database_url) as live:
        key = (await make(live, await live.credentials(), "integration.view")).json()["key"]
        headers = {"Authorization": f"Bearer {key}"}

        shown = await me(live, key)
        allowed = await live.client.get("/integrations/all", headers=headers)
        refused = await live.client.get("/knowledge/datasets", headers=headers)

    assert shown.json()["user"]["permissions"] == ["integration.view"]
    assert (allowed.status_code, refused.status_code) == (200, 403)


async def test_a_key_loses_what_its_user_loses(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user(["integration.view", "knowledge.view"])
        key = (await make(live, await live.credentials_of(email), "integration.view", "knowledge.view")).json()["key"]

        await live.access.set_permissions(email, ["knowledge.view", "audit.view"])
        left = (await me(live, key)).json()["user"]["permissions"]
        await live.access.disable_user(email)
        after = await me(live, key)

    assert left == ["knowledge.view"]
    assert after.status_code == 401


async def test_a_key_gets_nothing_its_maker_lacks(database_url: str) -> None:
    async with live_app(database_url) as live:
        answer = await make(live, await live.credentials(["knowledge.view"]), "knowledge.view", "audit.view")

    assert (answer.status_code, answer.json()["message"]) == (403, "Missing permission: audit.view")


async def test_a_key_expires_and_a_deleted_one_is_gone(database_url: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with live_app(database_url, clock=lambda: now, access_token_minutes=60 * 24 * 30) as live:
        email = await live.user()
        person = await live.credentials_of(email)
        short, long = [(await make(live, person, expires_in_days=days)).json() for days in (1, 2)]
        statuses = [(await me(live, made["key"])).status_code for made in (short, long)]
        now += timedelta(days=1)
        statuses += [(await me(live, made["key"])).status_code for made in (short, long)]
        await live.client.delete(f"/auth/api-keys/{long['api_key']['id']}", headers=await live.credentials_of(email))
        statuses.append((await me(live, long["key"])).status_code)

    assert statuses == [200, 200, 401, 200, 401]


async def test_the_audit_says_when_a_key_ends_as_the_key_does(database_url: str) -> None:
    async with live_app(database_url) as live:
        person = await live.credentials()
        made = (await make(live, person)).json()

        audit = (await live.client.get("/audit?action=auth.create_api_key", headers=person)).json()

    assert audit["entries"][0]["details"]["expires_at"] == made["api_key"]["expires_at"]


async def test_the_answer_says_where_the_new_key_is(database_url: str) -> None:
    async with live_app(database_url) as live:
        person = await live.credentials()
        made = await make(live, person)

        ended = await live.client.delete(made.headers["Location"], headers=person)

    assert (made.status_code, ended.status_code) == (201, 200)


async def test_a_key_opens_nothing_while_its_user_is_disabled_and_opens_again_after_that(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        key = (await make(live, await live.credentials(["knowledge.view"]))).json()["key"]
        user = f"/users/{(await me(live, key)).json()['user']['id']}"

        await live.client.post(f"{user}/disable", headers=admin)
        disabled = await me(live, key)
        await live.client.post(f"{user}/enable", headers=admin)
        enabled = await me(live, key)

    assert (disabled.status_code, enabled.status_code) == (401, 200)


async def test_a_key_is_shown_once_and_stored_as_a_hash(database_url: str) -> None:
    async with live_app(database_url) as live:
        person = await live.credentials()
        made = (await make(live, person)).json()
        listed = await live.client.get("/auth/api-keys", headers=person)
        stored = str([await run(live, f"SELECT * FROM {table}") for table in ("api_keys", "audit_entries")])

    assert [key["id"] for key in listed.json()["api_keys"]] == [made["api_key"]["id"]]
    assert made["key"][4:20] not in listed.text + stored


async def test_a_key_makes_no_key_and_changes_no_password_and_the_audit_tells_that_it_was_tried(
    database_url: str,
) -> None:
    async with live_app(database_url) as live:
        made = (await make(live, await live.credentials(), "user.manage")).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        passwords = {"current_password": "correct horse battery staple", "new_password": "a long sentence of mine"}

        answers = [
            await make(live, headers, "user.manage"),
            await live.client.get("/auth/api-keys", headers=headers),
            await live.client.post("/auth/logout", headers=headers),
            await live.client.post("/auth/password", json=passwords, headers=headers),
        ]
        denied = await run(live, "SELECT object_id, credential FROM audit_entries WHERE action = 'access.denied'")

    assert {(answer.status_code, answer.json()["message"]) for answer in answers} == {
        (403, "An API key cannot do this: sign in with e-mail and password")
    }
    assert denied == [("person", f"key:{made['api_key']['id']}")] * 4


async def test_nobody_sees_or_ends_anothers_key(database_url: str) -> None:
    async with live_app(database_url) as live:
        made = (await make(live, await live.credentials())).json()
        other = await live.credentials()

        listed = await live.client.get("/auth/api-keys", headers=other)
        deleted = await live.client.delete(f"/auth/api-keys/{made['api_key']['id']}", headers=other)
        still = await me(live, made["key"])

    assert listed.json()["api_keys"] == []
    assert (deleted.status_code, still.status_code) == (404, 200)


async def test_use_is_noted_at_most_every_five_minutes(database_url: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    noted = []
    async with live_app(database_url, clock=lambda: now) as live:
        made = (await make(live, await live.credentials())).json()
        for seconds in (0, 299, 1):
            now += timedelta(seconds=seconds)
            await me(live, made["key"])
            ((used_at,),) = await run(live, "SELECT last_used_at FROM api_keys")
            noted.append(used_at - datetime(2026, 3, 1, tzinfo=UTC))

    assert noted == [timedelta(0), timedelta(0), timedelta(minutes=5)]


async def make_many(live: LiveApp, person: dict[str, str], many: int) -> None:
    """So many keys, all but the first past the service."""
    await make(live, person)
    await run(
        live,
        "INSERT INTO api_keys SELECT gen_random_uuid(), user_id, name, n::text::bytea, permissions, created_at, "
        f"expires_at FROM api_keys, generate_series(1, {many - 1}) AS n",
    )


async def test_there_is_a_most_of_keys(database_url: str) -> None:
    async with live_app(database_url) as live:
        person = await live.credentials()
        await make_many(live, person, 50)

        answer = await make(live, person)

    assert (answer.status_code, answer.json()["message"]) == (409, "You have 50 API keys: delete one first")


async def test_of_two_who_make_the_last_key_at_once_one_has_it(database_url: str) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with live_app(database_url) as live:
        person = await live.credentials()
        await make_many(live, person, 49)
        async with live.components[AsyncEngine].begin() as connection:
            await connection.execute(text("SELECT FROM users FOR UPDATE"))
            making = [asyncio.create_task(make(live, person)) for _ in range(2)]
            async with asyncio.timeout(PATIENCE):
                while len(await run(live, waiting)) < 2:  # noqa: ASYNC110 - only the database knows
                    await asyncio.sleep(0.02)

        answers = [await each for each in making]

    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_a_key_is_found_where_its_making_says_by_its_owner_alone(database_url: str) -> None:
    async with live_app(database_url) as live:
        person, other = await live.credentials(), await live.credentials()
        made = await make(live, person)

        found = await live.client.get(made.headers["Location"], headers=person)
        hidden = await live.client.get(made.headers["Location"], headers=other)

    assert (found.status_code, found.json()) == (200, {"success": True, "api_key": made.json()["api_key"]})
    assert (hidden.status_code, hidden.json()["message"]) == (404, "API key not found")


async def test_deeds_of_a_key_are_recorded_under_its_id(database_url: str) -> None:
    async with live_app(database_url) as live:
        made = (await make(live, await live.credentials(), "user.manage", "knowledge.view")).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        await live.client.post("/users", json={"email": "a@x.org", "permissions": []}, headers=headers)
        (entry,) = await run(live, "SELECT credential FROM audit_entries WHERE action = 'user.invite'")

    assert entry.credential == f"key:{made['api_key']['id']}"


async def test_who_manages_users_sees_and_ends_their_keys(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user(["knowledge.view"])
        made = (await make(live, await live.credentials_of(email))).json()
        user = (await me(live, made["key"])).json()["user"]["id"]
        admin = await live.credentials()
        path = f"/users/{user}/api-keys"

        listed = await live.client.get(path, headers=admin)
        deleted = await live.client.delete(f"{path}/{made['api_key']['id']}", headers=admin)
        again = await live.client.delete(f"{path}/{made['api_key']['id']}", headers=admin)
        after = await me(live, made["key"])
        (entry,) = await run(live, "SELECT * FROM audit_entries WHERE action = 'auth.delete_api_key'")

    assert [key["id"] for key in listed.json()["api_keys"]] == [made["api_key"]["id"]]
    assert made["key"][4:] not in listed.text
    assert (deleted.status_code, again.status_code, after.status_code) == (200, 404, 401)
    assert entry.actor != email
    assert (entry.object_id, entry.details["user_id"]) == (made["api_key"]["id"], user)


async def test_keys_of_others_are_kept_from_those_who_may_less(database_url: str) -> None:
    async with live_app(database_url) as live:
        boss = await live.credentials()
        made = (await make(live, boss)).json()
        user = (await me(live, made["key"])).json()["user"]["id"]
        viewer, manager = await live.credentials(["knowledge.view"]), await live.credentials(["user.manage"])
        path = f"/users/{user}/api-keys"

        unseen = await live.client.get(path, headers=viewer)
        refused = await live.client.delete(f"{path}/{made['api_key']['id']}", headers=viewer)
        beyond = await live.client.delete(f"{path}/{made['api_key']['id']}", headers=manager)
        nobody = await live.client.get(f"/users/{made['api_key']['id']}/api-keys", headers=boss)
        after = await me(live, made["key"])

    assert [answer.status_code for answer in (unseen, refused, beyond, nobody, after)] == [403, 403, 403, 404, 200]


def test_a_checksum_tells_a_key_from_what_only_looks_like_one() -> None:
    keys = [new_api_key() for _ in range(50)]

    assert all(is_api_key(key) for key in keys)
    assert {len(key) for key in keys} == {53}
    for wrong in (keys[0][:-1], keys[0] + "0", "iak_" + "x" * 49, keys[0].swapcase(), "", "iak_", keys[0][4:]):
        assert not is_api_key(wrong)


async def test_a_full_disk_keeps_nobody_from_reading(database_url: str) -> None:
    full = "RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'"
    async with live_app(database_url) as live:
        key = (await make(live, await live.credentials())).json()["key"]
        await run(live, f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {full}; END $$")
        await run(live, "CREATE TRIGGER no_space BEFORE UPDATE ON api_keys EXECUTE FUNCTION refuse()")
        await run(live, "CREATE TRIGGER no_space BEFORE INSERT ON rate_buckets EXECUTE FUNCTION refuse()")

        answer = await live.client.get("/knowledge/search?q=vpn", headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 200
