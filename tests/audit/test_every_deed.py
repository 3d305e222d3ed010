"""What the audit must hold, deed by deed: who, by which credential, from where, when, under which request."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from tests.support.applications import PASSWORD
from tests.support.served import Served, served
from tests.support.syncing import PATIENCE, Bench, bench

pytestmark = pytest.mark.anyio

CONFIG = {"url": "https://dev1.service-now.com", "username": "admin", "password": "cAnArY-1"}
BODY: dict[str, Any] = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": CONFIG, "is_active": True}
NEW_PASSWORD = "another sentence of my own"


@dataclass
class Deeds:
    """Requests, each under an id of its own, and what they must have left in the audit."""

    bench: Bench
    api: Served
    expected: dict[str, str] = field(default_factory=dict)

    async def do(self, action: str, method: str, path: str, **options: Any) -> httpx.Response:
        """One request that is an entry of this action."""
        number = f"deed-{len(self.expected)}"
        self.expected[number] = action
        headers = {"X-Request-ID": number, **options.pop("headers", {})}
        answer = await self.api.client.request(method, path, headers=headers, **options)
        assert answer.status_code < 500, answer.text
        return answer

    async def entries(self) -> dict[str, Any]:
        """Of each request the entries, by its id."""
        found: dict[str, Any] = {}
        for row in await self.bench.rows("SELECT * FROM audit_entries WHERE request_id LIKE 'deed-%' ORDER BY id"):
            found.setdefault(row.request_id, []).append(row)
        return found


@pytest.fixture
async def deeds(database_url: str) -> AsyncIterator[Deeds]:
    async with bench(database_url, sync_delete_brake_minimum=2) as b, served(b) as api:
        b.source.fill(4)
        yield Deeds(b, api)


async def _integrations(d: Deeds) -> str:
    created = await d.do("integration.create", "POST", "/integrations/create", json=BODY)
    id_: str = created.json()["integration"]["id"]
    edited = BODY | {"config": CONFIG | {"password": "cAnArY-2", "page_size": 10}}
    await d.do("integration.update", "PUT", f"/integrations/update/{id_}", json=edited)
    await d.do("integration.schedule", "PUT", f"/integrations/schedule/{id_}", json={"cron": "0 6 * * *"})
    await d.do("integration.test", "POST", f"/integrations/test/{id_}")
    await d.do("integration.preview", "GET", f"/integrations/preview/{id_}")
    return id_


async def _syncs(d: Deeds, id_: str) -> None:
    d.bench.source.gate = asyncio.Event()
    d.bench.source.reached.clear()  # The preview has been there.
    watching = asyncio.create_task(d.do("sync.start", "POST", f"/integrations/sync/{id_}"))
    await asyncio.wait_for(d.bench.source.reached.wait(), PATIENCE)
    await d.do("sync.cancel", "POST", f"/integrations/sync/{id_}/cancel")
    d.bench.source.gate.set()
    await watching
    await d.bench.sync(UUID(id_))
    d.bench.source.change("INC00003", title="Changed")
    await d.bench.sync(UUID(id_))


async def _versions(d: Deeds, id_: str) -> None:
    path = f"/knowledge/datasets/{id_}/versions"
    await d.do("knowledge.export", "GET", f"{path}/1/export")
    await d.do("version.rollback", "POST", f"{path}/1/rollback", json={"reason": "wrong titles"})
    for number in ("INC00001", "INC00002"):
        d.bench.source.remove(number)
    for action in ("discard", "publish"):
        held = await d.bench.sync(UUID(id_), mode="full")
        await d.do(f"version.{action}", "POST", f"{path}/{held.version}/{action}")
    purge = {"reason": "asked for by the person in it"}
    await d.do("knowledge.purge", "POST", "/knowledge/incidents/INC00003/purge", json=purge)
    await d.do("integration.delete", "DELETE", f"/integrations/delete/{id_}")


async def _users(d: Deeds) -> None:
    invited = await d.do("user.invite", "POST", "/users", json={"email": "new@example.com", "permissions": []})
    user, token = invited.json()["user"]["id"], invited.json()["link"]["token"]
    accepted = {"token": token, "password": NEW_PASSWORD}
    await d.do("auth.accept_link", "POST", "/auth/invitation", json=accepted)
    wanted = {"permissions": ["knowledge.view"]}
    await d.do("user.set_permissions", "PUT", f"/users/{user}/permissions", json=wanted)
    await d.do("user.reset", "POST", f"/users/{user}/reset")
    await d.do("user.disable", "POST", f"/users/{user}/disable")
    await d.do("user.enable", "POST", f"/users/{user}/enable")


async def _credentials(d: Deeds) -> None:
    email = "me@example.com"
    await d.bench.components[AccessService].create_user(email=email, password=PASSWORD, permissions=ROLES[Role.VIEWER])
    form = {"username": email, "password": PASSWORD}
    await d.do("auth.sign_in_refused", "POST", "/auth/token", data=form | {"password": "wrong"})
    signed_in = await d.do("auth.sign_in", "POST", "/auth/token", data=form)
    me = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    await d.do("access.denied", "GET", "/audit", headers=me)
    key = {"name": "k", "permissions": ["knowledge.view"]}
    made = await d.do("auth.create_api_key", "POST", "/auth/api-keys", json=key, headers=me)
    await d.do("auth.delete_api_key", "DELETE", f"/auth/api-keys/{made.json()['api_key']['id']}", headers=me)
    words = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    wrong = words | {"current_password": "wrong"}
    await d.do("auth.change_password_refused", "POST", "/auth/password", json=wrong, headers=me)
    changed = await d.do("auth.change_password", "POST", "/auth/password", json=words, headers=me)
    me = {"Authorization": f"Bearer {changed.json()['access_token']}"}
    await d.do("auth.sign_out", "POST", "/auth/logout", headers=me)
    await d.do("audit.export", "GET", "/audit/export")


WITHOUT_CREDENTIAL = {"auth.sign_in", "auth.sign_in_refused", "auth.accept_link"}
"""What one does before there is a token."""


async def test_every_deed_is_an_entry_with_all_that_there_is_to_say(deeds: Deeds) -> None:
    began = datetime.now(UTC)
    id_ = await _integrations(deeds)
    await _syncs(deeds, id_)
    await _versions(deeds, id_)
    await _users(deeds)
    await _credentials(deeds)
    found = await deeds.entries()

    told = {number: [entry.action for entry in found.get(number, [])] for number in deeds.expected}
    assert {number: action for number, action in deeds.expected.items() if action not in told[number]} == {}
    assert {action for actions in told.values() for action in actions} - set(deeds.expected.values()) == {"sync.end"}
    for entry in (entry for entries in found.values() for entry in entries):
        assert "@example.com" in entry.actor
        assert entry.actor_id is not None
        assert (entry.credential is None) == (entry.action in WITHOUT_CREDENTIAL), entry.action
        assert entry.credential is None or entry.credential.startswith("token:")
        assert entry.address == "127.0.0.1"
        assert began - timedelta(minutes=1) < entry.at < datetime.now(UTC) + timedelta(minutes=1)
    assert "cAnArY" not in str(found)
    (update,) = found["deed-1"]
    assert update.details["config_keys"] == ["page_size", "password"]
