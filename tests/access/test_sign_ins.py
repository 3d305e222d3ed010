"""Everybody can see how somebody came in as him, and nobody sees that of others."""

import pytest

from tests.support.applications import PASSWORD, live_app

pytestmark = pytest.mark.anyio


async def test_my_sign_ins_and_the_refused_ones_are_listed_to_me_alone(database_url: str) -> None:
    async with live_app(database_url) as live:
        mine, other = await live.user(["knowledge.view"]), await live.user(["knowledge.view"])
        for email, password in ((mine, "not the password"), (mine, PASSWORD), (other, PASSWORD)):
            answer = await live.client.post("/auth/token", data={"username": email, "password": password})
        await live.access.set_permissions(mine, ["integration.view"])
        headers = await live.credentials_of(mine)

        listed = (await live.client.get("/auth/sign-ins", headers=headers)).json()
        paged = (await live.client.get("/auth/sign-ins", params={"limit": 1}, headers=headers)).json()
        rest = await live.client.get("/auth/sign-ins", params={"cursor": paged["next_cursor"]}, headers=headers)

    assert answer.status_code == 200
    entries = listed["entries"]
    assert [entry["action"] for entry in entries] == ["auth.issue_token", "auth.sign_in", "auth.sign_in_refused"]
    assert {entry["address"] for entry in entries[1:]} == {"127.0.0.1"}
    assert mine in str(listed)
    assert other not in str(listed)
    assert paged["entries"] + rest.json()["entries"] == entries


async def test_who_guesses_my_password_with_my_token_is_listed_to_me(database_url: str) -> None:
    async with live_app(database_url) as live:
        headers = await live.credentials_of(await live.user(["knowledge.view"]))
        body = {"current_password": "a guess", "new_password": "a long sentence of a thief"}

        refused = await live.client.post("/auth/password", json=body, headers=headers)
        (entry, *_) = (await live.client.get("/auth/sign-ins", headers=headers)).json()["entries"]

    assert refused.status_code == 422
    assert (entry["action"], entry["address"]) == ("auth.change_password_refused", "127.0.0.1")
    assert entry["credential"].startswith("token:")


async def test_a_script_does_not_read_its_users_sign_ins(database_url: str) -> None:
    async with live_app(database_url) as live:
        person = await live.credentials(["audit.view"])
        body = {"name": "script", "permissions": ["audit.view"]}
        made = (await live.client.post("/auth/api-keys", json=body, headers=person)).json()

        refused = await live.client.get("/auth/sign-ins", headers={"Authorization": f"Bearer {made['key']}"})

    assert refused.status_code == 403
