"""Signing in, tokens, roles, sessions."""

import asyncio
from typing import Any

import httpx
import pytest

from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance, Simulator
from tests.simulator.gate import Gate, first_done
from tests.simulator.reading import INCIDENTS, get, rows

pytestmark = pytest.mark.anyio

PASSWORD_GRANT = {
    "grant_type": "password",
    "client_id": "simulator-client",
    "client_secret": "simulator-client-secret",
    "username": "integration",
    "password": "simulator-password",
}
CLIENT_GRANT = {
    "grant_type": "client_credentials",
    "client_id": "simulator-client",
    "client_secret": "simulator-client-secret",
}


@pytest.fixture
async def stranger(simulator: Simulator) -> Any:
    transport = httpx.ASGITransport(app=simulator.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://instance") as made:
        yield made


async def ask(client: httpx.AsyncClient, **headers: str) -> int:
    client.cookies.clear()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await client.get(INCIDENTS, params={"sysparm_limit": "1"}, headers=named)).status_code


async def token(client: httpx.AsyncClient, **form: str) -> Any:
    return (await client.post("/oauth_token.do", data=form)).json()


async def test_nobody_and_a_wrong_password_get_servicenows_401(stranger: httpx.AsyncClient) -> None:
    nobody = await get(stranger)
    wrong = await stranger.get(INCIDENTS, auth=("integration", "wrong"))

    expected = {
        "error": {"message": "User Not Authenticated", "detail": "Required to provide Auth information"},
        "status": "failure",
    }
    assert (nobody.status_code, nobody.json()) == (wrong.status_code, wrong.json()) == (401, expected)


async def test_an_api_key_signs_in(stranger: httpx.AsyncClient) -> None:
    assert await ask(stranger, x_sn_apikey="simulator-api-key") == 200
    assert await ask(stranger, x_sn_apikey="wrong") == 401


async def test_a_token_is_the_same_within_its_lifetime_and_useless_after_it(
    stranger: httpx.AsyncClient, clock: ManualClock
) -> None:
    first = await token(stranger, **PASSWORD_GRANT)
    clock.advance(600)
    second = await token(stranger, **PASSWORD_GRANT)

    assert first["access_token"] == second["access_token"]
    assert (first["expires_in"], second["expires_in"]) == (1799, 1199)
    assert first["token_type"] == "Bearer"
    assert await ask(stranger, authorization=f"Bearer {first['access_token']}") == 200
    clock.advance(1300)
    assert await ask(stranger, authorization=f"Bearer {first['access_token']}") == 401


async def test_a_refresh_token_brings_a_new_access_token_and_itself(
    stranger: httpx.AsyncClient, clock: ManualClock
) -> None:
    first = await token(stranger, **PASSWORD_GRANT)
    clock.advance(2000)
    form = {key: PASSWORD_GRANT[key] for key in ("client_id", "client_secret")}
    second = await token(stranger, grant_type="refresh_token", refresh_token=first["refresh_token"], **form)

    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] == first["refresh_token"]
    assert await ask(stranger, authorization=f"Bearer {second['access_token']}") == 200


async def test_client_credentials_need_the_access_policy_link(
    stranger: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    linked = await token(stranger, **CLIENT_GRANT)
    instance.door.clients["simulator-client"].is_linked_to_access_policy = False
    instance.door.expire_tokens()
    unlinked = await token(stranger, **CLIENT_GRANT)

    assert "refresh_token" not in linked
    assert await ask(stranger, authorization=f"Bearer {unlinked['access_token']}") == 401


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"password": "wrong"}, "invalid_grant"),
        ({"grant_type": "magic"}, "unsupported_grant_type"),
    ],
)
async def test_wrong_token_requests_are_oauth_errors(
    stranger: httpx.AsyncClient, change: dict[str, str], error: str
) -> None:
    assert (await token(stranger, **PASSWORD_GRANT | change))["error"] == error


async def test_a_token_request_must_be_form_urlencoded(stranger: httpx.AsyncClient) -> None:
    response = await stranger.post("/oauth_token.do", json=PASSWORD_GRANT)

    assert (response.status_code, response.json()["error"]) == (401, "server_error")


async def test_tables_need_roles_and_the_journal_hides_instead_of_refusing(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    log = await get(client, "/api/now/table/sys_audit_delete")
    journal = await get(client, "/api/now/table/sys_journal_field")
    instance.revoke("sn_incident_read")
    incidents = await get(client)

    assert (log.status_code, journal.status_code, incidents.status_code) == (403, 200, 403)
    assert incidents.json()["error"]["message"] == "User Not Authorized"


async def test_a_granted_role_opens_the_delete_log(client: httpx.AsyncClient, instance: ServiceNowInstance) -> None:
    sys_id = instance.sys_ids()[0]
    instance.delete(sys_id)
    instance.grant("delete_log_reader")

    lines = await rows(client, "/api/now/table/sys_audit_delete", query="tablename=incident")

    assert [line["documentkey"] for line in lines] == [sys_id]


async def test_an_admin_sees_what_row_acls_hide(client: httpx.AsyncClient, instance: ServiceNowInstance) -> None:
    instance.hide(instance.sys_ids()[:10])
    assert len(await rows(client)) == 50

    instance.grant("admin")

    assert len(await rows(client)) == 60


async def test_a_session_cookie_puts_requests_in_a_row_and_a_long_row_is_dropped_with_202(
    client: httpx.AsyncClient, simulator: Simulator
) -> None:
    first = await client.get(INCIDENTS, params={"sysparm_limit": "1"})
    gate = Gate()
    simulator.faults.add(gate)

    tasks = [asyncio.create_task(client.get(INCIDENTS, params={"sysparm_limit": "1"})) for _ in range(20)]
    await first_done(tasks, 9)
    waiting = gate.waiting
    gate.open()
    together = await asyncio.gather(*tasks)

    dropped = [response for response in together if response.status_code == 202]
    assert {cookie.split("=")[0] for cookie in first.headers.get_list("set-cookie")} == {
        "JSESSIONID",
        "glide_user_route",
        "glide_session_store",
    }
    assert waiting == 1
    assert len(dropped) == 9
    assert all(response.content == b"" for response in dropped)


async def test_requests_without_cookies_are_served_side_by_side(
    client: httpx.AsyncClient, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.faults.add(gate)
    client.cookies.clear()

    tasks = [asyncio.create_task(get(client, limit=1)) for _ in range(20)]
    await gate.arrived(20)
    gate.open()
    together = await asyncio.gather(*tasks)

    assert {response.status_code for response in together} == {200}
    assert simulator.log.most_in_flight == 20
