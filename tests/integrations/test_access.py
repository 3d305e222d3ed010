"""Who may do what, and what an anonymous or unfit caller learns."""

from typing import Any
from uuid import UUID

import pytest

from integrations_api.access.permissions import Permission
from tests.integrations.conftest import SERVICENOW, Room

pytestmark = pytest.mark.anyio

ROUTES: list[tuple[str, str, Any, Permission]] = [
    ("GET", "/integrations/all", None, Permission.INTEGRATION_VIEW),
    ("GET", "/integrations/services", None, Permission.INTEGRATION_VIEW),
    ("GET", "/integrations/id/{id}", None, Permission.INTEGRATION_VIEW),
    ("GET", "/integrations/secrets/{id}", None, Permission.INTEGRATION_VIEW),
    ("POST", "/integrations/create", SERVICENOW, Permission.INTEGRATION_CREATE),
    ("PUT", "/integrations/schedule/{id}", {"cron": "0 6 * * *"}, Permission.INTEGRATION_EDIT),
    ("PUT", "/integrations/update/{id}", SERVICENOW, Permission.INTEGRATION_EDIT),
    ("DELETE", "/integrations/delete/{id}", None, Permission.INTEGRATION_DELETE),
]


@pytest.mark.parametrize(("method", "path", "body", "_permission"), ROUTES)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}])
async def test_without_credentials_nothing_is_told(
    room: Room, method: str, path: str, body: Any, _permission: Permission, headers: dict[str, str]
) -> None:
    created = await room.create()

    answers = [
        await room.send(method, path.format(id=one), sent, headers=headers)
        for one in (created["id"], "not-a-uuid")
        for sent in (body, {"wrong": 1} if body else None)
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert len({answer.text for answer in answers}) == 1
    assert await room.shown(created["id"]) == created


@pytest.mark.parametrize(("method", "path", "body", "permission"), ROUTES)
async def test_each_route_asks_for_its_permission_and_no_other(
    room: Room, method: str, path: str, body: Any, permission: Permission
) -> None:
    created = await room.create()
    path = path.format(id=created["id"])
    every_other = await room.app.credentials(set(Permission) - {permission})
    only_this = await room.app.credentials({permission})

    refused = await room.send(method, path, body, headers=every_other)
    allowed = await room.send(method, path, body, headers=only_this)

    assert (refused.status_code, refused.json()) == (
        403,
        {"success": False, "message": f"Missing permission: {permission}"},
    )
    assert allowed.is_success


async def test_purging_needs_a_permission_of_its_own(room: Room) -> None:
    created = await room.create()
    deleter = await room.app.credentials({Permission.INTEGRATION_DELETE})

    refused = await room.send("DELETE", f"/integrations/delete/{created['id']}?purge=true", headers=deleter)

    assert refused.status_code == 403
    assert refused.json()["message"] == "Missing permission: knowledge.purge"
    assert await room.shown(created["id"]) == created
    denied = await room.rows("SELECT object_id FROM audit_entries WHERE action = 'access.denied'")
    assert denied == [{"object_id": "knowledge.purge"}]


async def test_the_creator_stays_the_creator_when_somebody_else_edits(room: Room) -> None:
    created = await room.create()
    editor = await room.app.credentials({Permission.INTEGRATION_EDIT})

    edited = await room.send("PUT", f"/integrations/update/{created['id']}", SERVICENOW, headers=editor)

    assert edited.json()["integration"]["user_id"] == created["user_id"]
    assert UUID(created["user_id"])
