"""The published reference, example by example: its requests in, its responses out, to the byte.

Ids are the service's own, so they are put in place of the examples' before comparing; the two fields that stand
beside the contract's ten are added to its examples.
"""

import json
from typing import Any

import pytest

from tests.integrations.conftest import SERVICENOW, Room

pytestmark = pytest.mark.anyio

EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"
EXAMPLE_USER = "123e4567-e89b-12d3-a456-426614174000"

LISTED = """
{
  "success": true,
  "integrations": [
    {
      "id": "550e8400-e29b-41d4-a716-446655440000",
      "service_name": "ServiceNow",
      "auth_type": "basic_auth",
      "config": {
        "url": "https://dev12345.service-now.com",
        "username": "admin",
        "password": "********",
        "lastSynced": "2026-03-01T10:30:00Z"
      },
      "is_active": true,
      "last_synced_at": "2026-03-01T10:30:00Z",
      "last_sync_status": "success",
      "last_sync_error": null,
      "updated_at": "2026-03-01T10:30:00Z",
      "user_id": "123e4567-e89b-12d3-a456-426614174000"
    }
  ]
}
"""
READ = """
{
  "success": true,
  "integration": {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {
      "url": "https://dev12345.service-now.com",
      "username": "admin",
      "password": "********"
    },
    "is_active": true,
    "last_synced_at": "2026-03-01T10:30:00Z",
    "last_sync_status": "success",
    "last_sync_error": null,
    "updated_at": "2026-03-01T10:30:00Z",
    "user_id": "123e4567-e89b-12d3-a456-426614174000"
  }
}
"""
CREATED = """
{
  "success": true,
  "integration": {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {
      "url": "https://dev12345.service-now.com",
      "username": "admin",
      "password": "********"
    },
    "is_active": true,
    "last_synced_at": null,
    "last_sync_status": null,
    "last_sync_error": null,
    "updated_at": "2026-03-01T10:30:00Z",
    "user_id": "123e4567-e89b-12d3-a456-426614174000"
  }
}
"""
UPDATED = """
{
  "success": true,
  "integration": {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "service_name": "ServiceNow Production",
    "auth_type": "basic_auth",
    "config": {
      "url": "https://prod.service-now.com",
      "username": "admin",
      "password": "********"
    },
    "is_active": true,
    "last_synced_at": "2026-03-01T10:30:00Z",
    "last_sync_status": "success",
    "last_sync_error": null,
    "updated_at": "2026-03-01T11:45:00Z",
    "user_id": "123e4567-e89b-12d3-a456-426614174000"
  }
}
"""
UPDATE = {
    "service_name": "ServiceNow Production",
    "auth_type": "basic_auth",
    "config": {"url": "https://prod.service-now.com", "username": "admin", "password": "new_password"},
    "is_active": True,
}
NOT_FOUND = '{"success":false,"message":"Integration not found"}'


def beside(example: str) -> str:
    """The contract's example, compact, with our two fields after its ten."""
    answer = json.loads(example)
    for one in answer.get("integrations") or [answer["integration"]]:
        one |= {
            "next_sync_at": None,
            "running_run_id": None,
            "schedule": None,
            "paused": None,
            "needs_connection": None,
        }
    return json.dumps(answer, separators=(",", ":"))


def with_example_ids(text: str, integration: dict[str, Any]) -> str:
    return text.replace(integration["id"], EXAMPLE_ID).replace(integration["user_id"], EXAMPLE_USER)


async def test_create_answers_as_in_the_contract(room: Room) -> None:
    room.clock.set("2026-03-01T10:30:00Z")

    response = await room.send("POST", "/integrations/create", SERVICENOW)

    integration = response.json()["integration"]
    assert response.status_code == 201
    assert response.headers["location"] == f"/integrations/id/{integration['id']}"
    assert response.headers["content-type"] == "application/json"
    assert with_example_ids(response.text, integration) == beside(CREATED)
    assert integration["user_id"] == (await room.send("GET", "/auth/me")).json()["user"]["id"]


async def test_the_list_answers_as_in_the_contract(room: Room) -> None:
    integration = await room.create()
    await room.synced(integration["id"], "2026-03-01T10:30:00Z")

    response = await room.send("GET", "/integrations/all")

    assert response.status_code == 200
    assert with_example_ids(response.text, integration) == beside(LISTED)


async def test_one_integration_answers_as_in_the_contract(room: Room) -> None:
    integration = await room.create()
    await room.synced(integration["id"], "2026-03-01T10:30:00Z")
    await room.put(integration["id"])

    response = await room.send("GET", f"/integrations/id/{integration['id']}")

    assert response.status_code == 200
    assert with_example_ids(response.text, integration) == beside(READ)


async def test_update_answers_as_in_the_contract(room: Room) -> None:
    integration = await room.create()
    await room.synced(integration["id"], "2026-03-01T10:30:00Z")
    room.clock.set("2026-03-01T11:45:00Z")

    response = await room.send("PUT", f"/integrations/update/{integration['id']}", UPDATE)

    assert response.status_code == 200
    assert with_example_ids(response.text, integration) == beside(UPDATED)


async def test_delete_answers_as_in_the_contract(room: Room) -> None:
    integration = await room.create()

    response = await room.send("DELETE", f"/integrations/delete/{integration['id']}")

    assert response.status_code == 200
    assert response.text == '{"success":true,"message":"Integration deleted successfully"}'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/integrations/id/{id}", None),
        ("PUT", "/integrations/update/{id}", SERVICENOW),
        ("DELETE", "/integrations/delete/{id}", None),
    ],
)
@pytest.mark.parametrize("integration_id", [EXAMPLE_ID, "not-a-uuid", "1", "%00", "550e8400"])
async def test_what_does_not_exist_is_not_found(
    room: Room, method: str, path: str, body: Any, integration_id: str
) -> None:
    response = await room.send(method, path.format(id=integration_id), body)

    if integration_id == "%00":
        assert response.status_code == 422
    else:
        assert (response.status_code, response.text) == (404, NOT_FOUND)


CONFIGS: list[tuple[str, str, dict[str, Any], str]] = [
    ("ServiceNow", "basic_auth", {"url": "https://x.example", "username": "a", "password": "CANARY"}, "password"),
    ("servicenow test", "api_token", {"url": "https://x.example", "api_token": "CANARY"}, "api_token"),
    ("SERVICENOW", "oauth2", {"url": "https://x.example", "client_id": "c", "client_secret": "C"}, "client_secret"),
    ("Jira Cloud", "basic_auth", {"url": "https://j.example", "username": "a@b.c", "password": "CANARY"}, "password"),
    ("GitHub", "api_token", {"api_token": "CANARY", "repositories": ["a/b"]}, "api_token"),
    ("Zendesk", "basic_auth", {"subdomain": "x", "passphrase": "CANARY"}, "passphrase"),
    ("Freshservice", "api_token", {"apiKey": "CANARY", "domain": "x"}, "apiKey"),
    ("Сервис №1", "oauth2", {"client-secret": "CANARY", "url": "ftp://odd.example"}, "client-secret"),
    ("ServiceNowhere", "api_token", {}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("service", "auth_type", "config", "secret"), CONFIGS)
async def test_every_auth_type_and_services_nobody_knows_are_stored(
    room: Room, service: str, auth_type: str, config: dict[str, Any], secret: str
) -> None:
    created = await room.create(service_name=service, auth_type=auth_type, config=config, is_active=False)

    expected = {**config, secret: "********"} if secret else config
    assert list(created["config"].items()) == list(expected.items())
    assert [created["service_name"], created["auth_type"], created["is_active"]] == [service, auth_type, False]
    assert (await room.stored(created["id"])).config == config
    assert await room.shown(created["id"]) == created


async def test_the_services_are_described_with_their_schemas(room: Room) -> None:
    response = await room.send("GET", "/integrations/services")

    services = {service["service_name"]: service["auth_types"] for service in response.json()["services"]}
    assert {"ServiceNow", "Jira", "GitHub"} <= set(services)
    basic = next(kind["schema"] for kind in services["ServiceNow"] if kind["auth_type"] == "basic_auth")
    assert {"url", "username", "password"} == set(basic["required"])
    assert basic["properties"]["password"]["writeOnly"] is True
