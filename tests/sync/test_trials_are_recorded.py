"""Where somebody makes this service go is written down before it goes, without a secret."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.applications import LiveApp, live_app

pytestmark = pytest.mark.anyio

BODY: dict[str, Any] = {
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {"url": "https://127.0.0.1:1", "username": "admin", "password": "canary"},
    "is_active": True,
}


async def entries(live: LiveApp) -> list[Any]:
    question = "SELECT * FROM audit_entries WHERE action IN ('integration.test', 'integration.preview') ORDER BY id"
    async with live.components[AsyncEngine].connect() as connection:
        return list(await connection.execute(text(question)))


async def test_each_trial_is_an_entry_with_the_host(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        created = await live.client.post("/integrations/create", json=BODY, headers=admin)
        id_ = created.json()["integration"]["id"]

        unsaved = await live.client.post("/integrations/test", json=BODY, headers=admin)
        stored = await live.client.post(f"/integrations/test/{id_}", headers=admin)
        preview = await live.client.get(f"/integrations/preview/{id_}", headers=admin)
        found = await entries(live)

    assert [answer.status_code for answer in (unsaved, stored, preview)] == [200, 200, 503]
    assert unsaved.json()["checks"][0]["status"] == "failed"
    assert [(entry.action, entry.object_id) for entry in found] == [
        ("integration.test", None),
        ("integration.test", id_),
        ("integration.preview", id_),
    ]
    assert {entry.details["host"] for entry in found} == {"127.0.0.1"}
    assert "canary" not in str(found)


async def test_a_trial_that_lacks_what_the_service_needs_lists_it_and_goes_nowhere(database_url: str) -> None:
    body = BODY | {"config": {"url": "https://127.0.0.1:1"}}
    async with live_app(database_url) as live:
        answer = await live.client.post("/integrations/test", json=body, headers=await live.credentials())
        found = await entries(live)

    assert (answer.status_code, answer.json()["message"]) == (422, "config.username: is required")
    assert [error["field"] for error in answer.json()["errors"]] == ["config.username", "config.password"]
    assert found == []


async def test_a_trial_whose_stored_secret_does_not_open_says_what_to_do(database_url: str) -> None:
    async with live_app(database_url) as live:
        admin = await live.credentials()
        created = await live.client.post("/integrations/create", json=BODY, headers=admin)
        async with live.components[AsyncEngine].begin() as connection:
            await connection.execute(text("UPDATE integration_secrets SET ciphertext = '\\x00'"))

        answer = await live.client.post(f"/integrations/test/{created.json()['integration']['id']}", headers=admin)

    assert answer.status_code == 503
    assert answer.json()["message"] == "A stored secret is damaged or in an unknown format: set it again"
