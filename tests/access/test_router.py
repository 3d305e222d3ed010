"""Signing in over HTTP, and rights that change under a living token."""

from typing import Annotated

import pytest
from fastapi import Depends
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from integrations_api.access.dependencies import require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.routes import Router
from tests.support.applications import PASSWORD, LiveApp, live_app

pytestmark = pytest.mark.anyio

Editor = Annotated[Principal, Depends(require(Permission.INTEGRATION_EDIT))]


def plant(live: LiveApp) -> None:
    router = Router()

    @router.get("/edit")
    async def edit(editor: Editor) -> dict[str, str]:
        return {"email": editor.email}

    live.app.include_router(router)


async def test_the_password_form_gives_a_token_that_works(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user(["audit.view", "integration.view"])

        answer = await live.client.post("/auth/token", data={"username": email, "password": PASSWORD})
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        me = await live.client.get("/auth/me", headers=headers)

    assert answer.status_code == 200
    assert answer.json().items() >= {"success": True, "token_type": "bearer", "expires_in": 3600}.items()
    assert answer.headers["Cache-Control"] == "no-store"
    assert me.json()["user"]["email"] == email
    assert me.json()["user"]["permissions"] == ["audit.view", "integration.view"]


async def test_wrong_email_and_wrong_password_are_the_same_answer(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()

        answers = [
            await live.client.post("/auth/token", data={"username": username, "password": password})
            for username, password in ((email, "wrong password"), ("nobody@example.com", PASSWORD))
        ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert answers[0].json() == {"success": False, "message": "Wrong e-mail or password"}
    assert all(answer.headers["WWW-Authenticate"] == "Bearer" for answer in answers)


CREDENTIALS = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer nonsense",
    "Basic YTpi",
    "bearer\tx",
    "Token abc",
    "Bearer " + "x" * 7000,
]


@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_without_valid_credentials_it_is_a_401(database_url: str, credentials: str | None) -> None:
    async with live_app(database_url) as live:
        headers = {} if credentials is None else {"Authorization": credentials}
        answer = await live.client.get("/auth/me", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["success"] is False
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_missing_permission_is_named(database_url: str) -> None:
    async with live_app(database_url) as live:
        plant(live)
        answer = await live.client.get("/edit", headers=await live.credentials(["integration.view"]))

        async with live.components[AsyncEngine].connect() as connection:
            question = text("SELECT object_id, actor FROM audit_entries WHERE action = 'access.denied'")
            denials = [row.object_id for row in await connection.execute(question)]

    assert answer.status_code == 403
    assert answer.json() == {"success": False, "message": "Missing permission: integration.edit"}
    assert denials == ["integration.edit"]


async def test_a_change_of_permissions_counts_from_the_next_request(database_url: str) -> None:
    async with live_app(database_url) as live:
        plant(live)
        email = await live.user(["integration.edit"])
        headers = await live.credentials_of(email)
        statuses = [(await live.client.get("/edit", headers=headers)).status_code]

        await live.access.set_permissions(email, ["integration.view"])
        statuses.append((await live.client.get("/edit", headers=headers)).status_code)
        await live.access.set_permissions(email, ["integration.edit"])
        statuses.append((await live.client.get("/edit", headers=headers)).status_code)
        await live.access.disable_user(email)
        statuses.append((await live.client.get("/edit", headers=headers)).status_code)

    assert statuses == [200, 403, 200, 401]


async def test_neither_password_nor_token_is_logged(database_url: str) -> None:
    async with live_app(database_url) as live:
        email = await live.user()
        with capture_logs() as logged:
            answer = await live.client.post("/auth/token", data={"username": email, "password": PASSWORD})
            token = answer.json()["access_token"]
            await live.client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
            await live.client.post("/auth/token", data={"username": email, "password": PASSWORD + "wrong"})

    assert PASSWORD not in str(logged)
    assert token not in str(logged)
