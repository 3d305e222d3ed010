"""Users over HTTP: invited by a link, and nobody gives, takes over or removes what he may not."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.access.passwords import Passwords
from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from tests.support.applications import LiveApp, live_app
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

NEW_PASSWORD = "a long sentence that only I know"


async def invite(live: LiveApp, headers: dict[str, str], *permissions: str, email: str = "new@x.org") -> httpx.Response:
    return await live.client.post("/users", json={"email": email, "permissions": list(permissions)}, headers=headers)


async def accept(live: LiveApp, token: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return await live.client.post("/auth/invitation", json={"token": token, "password": password})


async def sign_in(live: LiveApp, email: str, password: str = NEW_PASSWORD) -> httpx.Response:
    return await live.client.post("/auth/token", data={"username": email, "password": password})


async def rows(live: LiveApp, question: str) -> list[Any]:
    async with live.components[AsyncEngine].connect() as connection:
        return list((await connection.execute(text(question))).all())


async def id_of(live: LiveApp, email: str) -> str:
    (row,) = await rows(live, f"SELECT id FROM users WHERE email = '{email}'")
    return str(row.id)


async def denials(live: LiveApp) -> list[str]:
    found = await rows(live, "SELECT object_id FROM audit_entries WHERE action = 'access.denied' ORDER BY id")
    return [row.object_id for row in found]


async def test_an_invited_user_sets_his_password_by_the_link_and_signs_in(database_url: str) -> None:
    async with live_app(database_url, public_url="https://int.example.com/") as live:
        admin = await live.credentials()
        invited = await invite(live, admin, "knowledge.view", email="New@X.org")
        link = invited.json()["link"]
        before = await sign_in(live, "new@x.org")

        accepted = await accept(live, link["token"])
        after = await sign_in(live, "new@x.org")

    assert (invited.status_code, before.status_code, after.status_code) == (201, 401, 200)
    assert invited.json()["user"]["state"] == "invited"
    assert link["url"] == f"https://int.example.com/auth/invitation#{link['token']}"
    assert accepted.json()["user"].items() >= {"email": "new@x.org", "state": "active"}.items()


async def test_the_answer_to_an_invitation_says_where_the_new_user_is(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        invited = await invite(live, admin, "knowledge.view")

        there = await live.client.get(invited.headers["Location"], headers=admin)

    assert there.json()["user"] == invited.json()["user"]


async def test_a_link_is_good_once_and_a_refused_password_does_not_use_it_up(database_url: str) -> None:
    async with live_app(database_url) as live:
        token = (await invite(live, await live.credentials())).json()["link"]["token"]

        answers = [await accept(live, token, "short"), await accept(live, token), await accept(live, token)]

    assert [answer.status_code for answer in answers] == [422, 200, 404]
    assert "short" not in answers[0].text


async def test_of_two_who_use_a_link_at_the_same_moment_one_wins(database_url: str) -> None:
    async with live_app(database_url) as live:
        token = (await invite(live, await live.credentials())).json()["link"]["token"]

        answers = await asyncio.gather(accept(live, token), accept(live, token, NEW_PASSWORD + "!"))

    assert sorted(answer.status_code for answer in answers) == [200, 404]


async def test_a_link_that_is_taken_back_while_it_is_used_is_not_valid(database_url: str) -> None:
    async with live_app(database_url) as live:
        token = (await invite(live, await live.credentials())).json()["link"]["token"]
        async with live.components[AsyncEngine].begin() as admin:
            await admin.execute(text("SELECT FROM users FOR UPDATE"))
            accepting = asyncio.create_task(accept(live, token))
            await somebody_waits(live)
            await admin.execute(text("DELETE FROM user_links"))

        answer = await accepting

    assert (answer.status_code, answer.json()["success"]) == (404, False)


async def somebody_waits(live: LiveApp) -> None:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    async with asyncio.timeout(PATIENCE):
        while not await rows(live, waiting):  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.02)


async def test_a_link_expires_and_is_stored_as_a_hash(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with live_app(database_url, clock=lambda: now, access_token_minutes=60 * 24 * 30) as live:
        admin = await live.credentials()
        token = (await invite(live, admin)).json()["link"]["token"]
        stored = str(await rows(live, "SELECT * FROM user_links")) + str(
            await rows(live, "SELECT * FROM audit_entries")
        )
        now += timedelta(days=3)
        monkeypatch.delattr(Passwords, "hash")  # Which takes its time: nobody makes us do it without a good link.

        late = await accept(live, token)

    assert late.status_code == 404
    assert token not in stored
    assert token.removeprefix("iai_") not in stored


async def test_a_reset_link_replaces_the_one_before_and_the_password(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin, email = await live.credentials(), await live.user(ROLES[Role.VIEWER])
        held = await live.credentials_of(email)
        path = f"/users/{await id_of(live, email)}/reset"
        first, second = [(await live.client.post(path, headers=admin)).json()["link"]["token"] for _ in range(2)]

        statuses = [(await accept(live, token)).status_code for token in (first, second)]
        me = await live.client.get("/auth/me", headers=held)
        signed_in = await sign_in(live, email)

    assert statuses == [404, 200]
    assert (me.status_code, signed_in.status_code) == (401, 200)


async def test_nobody_gives_what_he_lacks(database_url: str) -> None:
    async with live_app(database_url) as live:
        clerk = await live.credentials(["user.manage", "knowledge.view"])
        viewer = await id_of(live, await live.user(["knowledge.view"]))

        answers = [
            await invite(live, clerk, "knowledge.view", "audit.view"),
            await live.client.put(
                f"/users/{viewer}/permissions", json={"permissions": ["knowledge.purge"]}, headers=clerk
            ),
            await invite(live, clerk, "knowledge.view"),
        ]

    assert [answer.status_code for answer in answers] == [403, 403, 201]
    assert answers[0].json()["message"] == "Missing permission: audit.view"


@pytest.mark.parametrize("deed", ["reset", "disable", "enable", "permissions"])
async def test_nobody_takes_over_or_shuts_out_one_who_may_more(database_url: str, deed: str) -> None:
    async with live_app(database_url) as live:
        clerk = await live.credentials(["user.manage"])
        admin = await id_of(live, await live.user())

        method = "PUT" if deed == "permissions" else "POST"
        body = {"permissions": ["user.manage"]} if method == "PUT" else None
        answer = await live.client.request(method, f"/users/{admin}/{deed}", json=body, headers=clerk)
        noted = await denials(live)

    assert (answer.status_code, noted) == (403, ["audit.view"])


async def test_who_asks_for_more_than_he_has_is_in_the_audit(database_url: str) -> None:
    async with live_app(database_url) as live:
        clerk = await live.credentials(["user.manage", "integration.edit"])
        admin = await live.credentials()
        key = {"name": "k", "permissions": ["knowledge.view"]}
        body = {"service_name": "Other", "auth_type": "basic_auth", "config": {}, "is_active": True}
        made = (await live.client.post("/auth/api-keys", json=key, headers=admin)).json()["api_key"]["id"]
        owner = (await live.client.get("/auth/me", headers=admin)).json()["user"]["id"]

        answers = [
            await live.client.post("/auth/api-keys", json=key, headers=clerk),
            await invite(live, clerk, "knowledge.purge"),
            await live.client.delete(f"/users/{owner}/api-keys/{made}", headers=clerk),
            await live.client.post(f"/integrations/preview/{uuid4()}", json=body, headers=clerk),
        ]
        noted = await denials(live)

    assert [answer.status_code for answer in answers] == [403] * 4
    assert noted == ["knowledge.view", "knowledge.purge", "audit.view", "knowledge.view"]


async def test_the_last_who_manages_users_stays(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        headers, own = await live.credentials_of(email), await id_of(live, email)
        await invite(live, headers, *ROLES[Role.ADMIN])  # Has no password yet, so he does not count.

        answers = [
            await live.client.post(f"/users/{own}/disable", headers=headers),
            await live.client.put(
                f"/users/{own}/permissions", json={"permissions": ["knowledge.view"]}, headers=headers
            ),
        ]
        me = await live.client.get("/auth/me", headers=headers)

    assert [answer.status_code for answer in answers] == [409, 409]
    assert len(me.json()["user"]["permissions"]) == len(ROLES[Role.ADMIN])


@pytest.mark.parametrize("by", ["http", "command line"])
@pytest.mark.parametrize("kind", ["invite", "reset"])
async def test_who_holds_a_link_does_not_become_somebody_who_was_given_more(
    database_url: str, by: str, kind: str
) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        invited = await invite(live, admin, "knowledge.view")
        path = f"/users/{invited.json()['user']['id']}"
        held = invited.json()["link"]["token"]
        if kind == "reset":
            await accept(live, held)
            held = (await live.client.post(f"{path}/reset", headers=admin)).json()["link"]["token"]
        await permit(live, path, admin, ["knowledge.view", "user.manage"], by=by)

        accepted = await accept(live, held)

    assert accepted.status_code == 404


async def test_a_reset_link_is_void_once_its_user_has_changed_the_password_himself(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        await accept(live, (await invite(live, admin)).json()["link"]["token"])
        reset = await live.client.post(f"/users/{await id_of(live, 'new@x.org')}/reset", headers=admin)
        own = {"Authorization": f"Bearer {(await sign_in(live, 'new@x.org')).json()['access_token']}"}
        change = {"current_password": NEW_PASSWORD, "new_password": "another sentence that only I know"}
        changed = await live.client.post("/auth/password", json=change, headers=own)

        late = await accept(live, reset.json()["link"]["token"])

    assert (changed.status_code, late.status_code) == (200, 404)


@pytest.mark.parametrize("by", ["an admin", "the command line"])
async def test_a_link_is_void_once_its_user_was_disabled_also_when_he_is_enabled_again(
    database_url: str, by: str
) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        link = (await invite(live, admin)).json()["link"]["token"]
        path = f"/users/{await id_of(live, 'new@x.org')}"
        if by == "an admin":
            await live.client.post(f"{path}/disable", headers=admin)
        else:
            await live.components[AccessService].disable_user("new@x.org")
        enabled = await live.client.post(f"{path}/enable", headers=admin)

        late = await accept(live, link)

    assert (enabled.status_code, late.status_code) == (200, 404)


async def test_a_link_stays_good_where_its_user_is_given_no_more(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        invited = await invite(live, admin, "knowledge.view", "integration.view")
        await permit(live, f"/users/{invited.json()['user']['id']}", admin, ["knowledge.view"])

        accepted = await accept(live, invited.json()["link"]["token"])

    assert accepted.status_code == 200


async def permit(live: LiveApp, path: str, admin: dict[str, str], permissions: list[str], by: str = "http") -> None:
    if by == "command line":
        await live.components[AccessService].set_permissions("new@x.org", permissions)
        return
    answer = await live.client.put(f"{path}/permissions", json={"permissions": permissions}, headers=admin)
    assert answer.status_code == 200, answer.text


async def test_two_admins_cannot_disable_each_other_at_the_same_moment(database_url: str) -> None:
    async with live_app(database_url) as live:
        emails = [await live.user(), await live.user()]
        headers = [await live.credentials_of(email) for email in emails]
        ids = [await id_of(live, email) for email in emails]

        answers = await asyncio.gather(
            live.client.post(f"/users/{ids[1]}/disable", headers=headers[0]),
            live.client.post(f"/users/{ids[0]}/disable", headers=headers[1]),
        )
        left = await rows(live, "SELECT 1 FROM users WHERE disabled_at IS NULL")

    assert len(left) == 1
    assert sorted(answer.status_code for answer in answers) in ([200, 401], [200, 409])


async def test_a_disabled_user_is_out_until_he_is_enabled_and_signs_in_again(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin, email = await live.credentials(), await live.user(ROLES[Role.VIEWER])
        held, path = await live.credentials_of(email), f"/users/{await id_of(live, email)}"

        disabled = await live.client.post(f"{path}/disable", headers=admin)
        refused_reset = await live.client.post(f"{path}/reset", headers=admin)
        enabled = await live.client.post(f"{path}/enable", headers=admin)
        me = await live.client.get("/auth/me", headers=held)
        shown = await live.client.get(path, headers=admin)

    assert disabled.json()["user"]["state"] == "disabled"
    assert refused_reset.status_code == 409
    assert enabled.json()["user"]["state"] == shown.json()["user"]["state"] == "active"
    assert me.status_code == 401


async def test_users_are_listed_in_pages_by_email(database_url: str) -> None:
    async with live_app(database_url) as live:
        for name in "cab":
            await live.user([], email=f"{name}@example.com")
        admin = await live.credentials_of(await live.user(email="d@example.com"))

        first = (await live.client.get("/users?limit=3", headers=admin)).json()
        second = (await live.client.get(f"/users?limit=3&cursor={first['next_cursor']}", headers=admin)).json()

    assert [user["email"][0] for user in first["users"] + second["users"]] == ["a", "b", "c", "d"]
    assert second["next_cursor"] is None


async def test_signing_out_ends_this_and_every_older_token(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        older, this = await live.credentials_of(email), await live.credentials_of(email)

        answer = await live.client.post("/auth/logout", headers=this)
        statuses = [(await live.client.get("/auth/me", headers=held)).status_code for held in (older, this)]
        again = await live.client.get("/auth/me", headers=await live.credentials_of(email))

    assert answer.json() == {"success": True, "message": "Signed out everywhere"}
    assert statuses == [401, 401]
    assert again.status_code == 200


async def test_a_changed_password_ends_older_tokens_and_gives_one_to_go_on(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        older = await live.credentials_of(email)
        body = {"current_password": "correct horse battery staple", "new_password": NEW_PASSWORD}

        wrong = await live.client.post("/auth/password", json={**body, "current_password": "no"}, headers=older)
        short = await live.client.post("/auth/password", json={**body, "new_password": "short"}, headers=older)
        changed = await live.client.post("/auth/password", json=body, headers=older)
        fresh = {"Authorization": f"Bearer {changed.json()['access_token']}"}
        statuses = [(await live.client.get("/auth/me", headers=held)).status_code for held in (older, fresh)]
        signed_in = await sign_in(live, email)

    assert (wrong.status_code, wrong.json()["message"]) == (422, "current_password: is wrong")
    assert (short.status_code, short.json()["message"]) == (422, "new_password: must have at least 12 characters")
    assert statuses == [401, 200]
    assert signed_in.status_code == 200


async def test_a_password_that_is_being_changed_is_not_if_the_users_tokens_end_meanwhile(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        headers = await live.credentials_of(email)
        hash_ = Passwords.hash

        async def hash_and_be_disabled(passwords: Passwords, password: str, **options: Any) -> str:
            await live.components[AccessService].disable_user(email)
            return await hash_(passwords, password, **options)

        monkeypatch.setattr(Passwords, "hash", hash_and_be_disabled)
        body = {"current_password": "correct horse battery staple", "new_password": NEW_PASSWORD}
        late = await live.client.post("/auth/password", json=body, headers=headers)
        changes = await rows(live, "SELECT 1 FROM audit_entries WHERE action = 'auth.change_password'")

    assert (late.status_code, changes) == (401, [])


async def test_the_page_behind_a_link_runs_nothing_but_its_own_script(database_url: str) -> None:
    async with live_app(database_url) as live:
        page = await live.client.get("/auth/invitation")

    assert "script-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.text.count("<script>") == 1


async def test_deeds_about_users_are_recorded_with_who_and_by_which_credential(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials_of(await live.user(email="admin@x.org"))
        invited = await invite(live, admin, "knowledge.view")
        path = f"/users/{invited.json()['user']['id']}"
        await accept(live, invited.json()["link"]["token"])
        for deed in ("reset", "disable", "enable"):
            await live.client.post(f"{path}/{deed}", headers=admin)
        await live.client.put(f"{path}/permissions", json={"permissions": []}, headers=admin)
        entries = await rows(live, "SELECT * FROM audit_entries WHERE request_id IS NOT NULL ORDER BY id")

    assert [(entry.action, entry.actor) for entry in entries] == [
        ("user.invite", "admin@x.org"),
        ("auth.accept_link", "new@x.org"),
        ("user.reset", "admin@x.org"),
        ("user.disable", "admin@x.org"),
        ("user.enable", "admin@x.org"),
        ("user.set_permissions", "admin@x.org"),
    ]
    assert entries[-1].details["before"] == ["knowledge.view"]
    assert entries[0].credential.startswith("token:")
