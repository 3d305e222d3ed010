"""What a browser brings back: taken once, in time, from the right server, and shown to nobody."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import text

from integrations_api.access.service import AccessService
from integrations_api.connectors.token_answers import TokenAnswer
from integrations_api.connectors.token_requests import TokenRequests
from integrations_api.oauth.service import OAuthService
from integrations_api.simulator.servicenow import SimulatorServer
from tests.support.connecting import Connecting

pytestmark = pytest.mark.anyio

CALLBACK = "http://127.0.0.1:8000/integrations/oauth/callback"


@pytest.fixture
async def integration(product: Connecting, servicenow: SimulatorServer) -> str:
    return await product.create(servicenow.url, "authorization_code")


def asked(server: SimulatorServer) -> int:
    return len([entry for entry in server.log.requests if entry.kind == "token"])


async def let_pass(product: Connecting, *, minutes: int) -> None:
    """As if what was begun so far had been begun earlier."""
    earlier = "UPDATE oauth_flows SET created_at = created_at - CAST(:past AS interval)"
    await product.bench.change(earlier, past=timedelta(minutes=minutes))


async def test_the_address_to_open_asks_for_a_code_with_state_challenge_and_the_exact_redirect_uri(
    product: Connecting, servicenow: SimulatorServer, integration: str
) -> None:
    response = await product.api.client.post(f"/integrations/oauth/{integration}/authorize")

    told = response.json()
    address, _, query = told["authorize_url"].partition("?")
    params = dict(parse_qsl(query))
    assert address == f"{servicenow.url}/oauth_auth.do"
    assert told["redirect_uri"] == params["redirect_uri"] == CALLBACK
    assert (params["response_type"], params["client_id"]) == ("code", "simulator-client")
    assert (len(params["state"]), len(params["code_challenge"]), params["code_challenge_method"]) == (43, 43, "S256")


async def test_to_connect_what_is_just_being_deleted_finds_nothing(product: Connecting, integration: str) -> None:
    async with product.bench.sessions.begin() as session:
        await session.execute(text("DELETE FROM integrations"))
        asking = asyncio.create_task(product.api.client.post(f"/integrations/oauth/{integration}/authorize"))
        await product.bench.somebody_waits()

    answer = await asking

    assert (answer.status_code, answer.json()["message"]) == (404, "Integration not found")


async def test_what_has_to_be_registered_is_known_before_there_is_an_integration(product: Connecting) -> None:
    services = (await product.api.client.get("/integrations/services")).json()["services"]

    told = {kind["auth_type"]: kind["redirect_uri"] for kind in services[0]["auth_types"]}
    assert told == {"basic_auth": None, "api_token": None, "oauth2": CALLBACK}


async def test_connecting_is_told_on_a_page_in_the_integration_and_in_the_audit(
    product: Connecting, integration: str
) -> None:
    before = await product.shown(integration)

    page = await product.connect(integration)

    assert before["needs_connection"] == "Needs to be connected: nobody has signed in at ServiceNow yet"
    assert (await product.shown(integration))["needs_connection"] is None
    assert "ServiceNow is connected. You can close this page." in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; style-src 'sha256-" in page.headers["content-security-policy"]
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert (await product.audited(integration))[-2:] == ["integration.connect_begun", "integration.connected"]


async def test_a_state_is_good_once(product: Connecting, servicenow: SimulatorServer, integration: str) -> None:
    page = await product.connect(integration)

    again = await product.come_back(**dict(parse_qsl(urlsplit(str(page.url)).query)))

    assert again.status_code == 400
    assert "was completed already" in again.text
    assert asked(servicenow) == 1


async def test_a_state_is_used_up_by_a_failure_too(
    product: Connecting, servicenow: SimulatorServer, integration: str
) -> None:
    state = await product.state_of(integration)

    pages = [await product.come_back(state=state, code="wrong") for _ in range(2)]

    assert [page.status_code for page in pages] == [400, 400]
    assert "Sign-in was refused by the OAuth server" in pages[0].text
    assert asked(servicenow) == 1


@pytest.mark.parametrize("state", ["", "made up", "ä&state=%ff"])
async def test_an_unknown_state_gets_a_page_and_no_request(
    product: Connecting, servicenow: SimulatorServer, state: str
) -> None:
    page = await product.come_back(state=state, code="x")

    assert page.status_code == 400
    assert "This sign-in is not known" in page.text
    assert asked(servicenow) == 0


async def test_after_ten_minutes_a_state_is_good_for_nothing(product: Connecting, integration: str) -> None:
    state = await product.state_of(integration)
    await product.bench.change(
        "UPDATE oauth_flows SET created_at = created_at - CAST(:past AS interval)", past=timedelta(minutes=10)
    )

    page = await product.come_back(state=state, code="x")

    assert "begun more than ten minutes ago" in page.text


async def test_what_nobody_completes_is_forgotten(product: Connecting, integration: str) -> None:
    await product.authorize_url(integration)
    await product.bench.change(
        "UPDATE oauth_flows SET created_at = created_at - CAST(:past AS interval)", past=timedelta(minutes=11)
    )
    await product.authorize_url(integration)

    await product.bench.components[OAuthService].prune()

    assert len(await product.bench.rows("SELECT 1 FROM oauth_flows")) == 1


@pytest.mark.parametrize("change", ["disabled", "permissions"])
async def test_a_user_who_may_not_edit_any_more_connects_nothing(
    product: Connecting, servicenow: SimulatorServer, integration: str, change: str
) -> None:
    state = await product.state_of(integration)
    (user,) = await product.bench.rows("SELECT email FROM users")
    access = product.bench.components[AccessService]
    if change == "disabled":
        await access.disable_user(user.email)
    else:
        await access.set_permissions(user.email, ["integration.view"])

    page = await product.come_back(state=state, code="x")

    assert "may no longer edit integrations" in page.text
    assert asked(servicenow) == 0


async def key_of(product: Connecting) -> tuple[dict[str, str], str]:
    """The headers of a fresh API key that may edit, and its id."""
    body = {"name": "deployment", "permissions": ["integration.edit"], "expires_in_days": 1}
    made = (await product.api.client.post("/auth/api-keys", json=body)).json()
    return {"Authorization": f"Bearer {made['key']}"}, made["api_key"]["id"]


async def test_what_was_begun_with_an_api_key_ends_with_it(product: Connecting, integration: str) -> None:
    key, key_id = await key_of(product)
    other, _ = await key_of(product)
    kept, ended = [await product.state_of(integration, headers=headers) for headers in (other, key)]

    await product.api.client.delete(f"/auth/api-keys/{key_id}")
    pages = [await product.come_back(state=state, error="access_denied") for state in (kept, ended)]

    assert ["Access was not granted" in page.text for page in pages] == [True, False]
    assert "This sign-in is not known" in pages[1].text


async def test_what_was_begun_with_an_api_key_that_has_expired_since_connects_nothing(
    product: Connecting, servicenow: SimulatorServer, integration: str
) -> None:
    key, _ = await key_of(product)
    state = await product.state_of(integration, headers=key)
    await product.bench.change("UPDATE api_keys SET expires_at = now() - interval '1 second'")

    page = await product.come_back(state=state, code="x")

    assert "may no longer edit integrations" in page.text
    assert asked(servicenow) == 0


async def test_a_key_that_is_just_being_deleted_begins_nothing(product: Connecting, integration: str) -> None:
    key, _ = await key_of(product)
    async with product.bench.sessions.begin() as session:
        await session.execute(text("DELETE FROM api_keys"))
        address = f"/integrations/oauth/{integration}/authorize"
        asking = asyncio.create_task(product.api.client.post(address, headers=key))
        await product.bench.somebody_waits()

    answer = await asking

    assert (answer.status_code, answer.json()["message"]) == (
        401,
        "The API key is not valid or has expired: make a new one",
    )


async def test_a_refusal_at_the_service_is_told_in_our_words(
    product: Connecting, servicenow: SimulatorServer, integration: str
) -> None:
    servicenow.instance.door.consents = False

    page = await product.connect(integration)

    assert page.status_code == 400
    assert "Access was not granted. Begin again" in page.text


async def test_nothing_that_was_brought_is_repeated(product: Connecting, integration: str) -> None:
    nasty = "<script>alert('nasty')</script>"
    state = await product.state_of(integration)

    page = await product.come_back(state=state, error=nasty, error_description=nasty, code=nasty)

    assert "The service refused the sign-in" in page.text
    assert "nasty" not in page.text
    assert (await product.audited(integration))[-1] == "integration.connect_failed"
    (entry,) = await product.bench.rows("SELECT details FROM audit_entries WHERE action = 'integration.connect_failed'")
    assert entry.details == {"reason": "refused"}


async def test_a_name_is_shown_as_text(product: Connecting, servicenow: SimulatorServer, integration: str) -> None:
    await product.rename(integration, "ServiceNow <b>bold</b> & Co")

    page = await product.connect(integration)

    assert "ServiceNow &lt;b&gt;bold&lt;/b&gt; &amp; Co is connected" in page.text


async def test_an_answer_of_another_server_is_not_believed(
    product: Connecting, servicenow: SimulatorServer, integration: str
) -> None:
    state = await product.state_of(integration)

    page = await product.come_back(state=state, code="x", iss="https://attacker.example")

    assert "comes from another server than was asked" in page.text
    assert asked(servicenow) == 0


async def test_an_edit_in_between_ends_the_sign_in(
    product: Connecting, servicenow: SimulatorServer, integration: str
) -> None:
    state = await product.state_of(integration)
    await product.edit(integration, client_id="another")

    page = await product.come_back(state=state, code="x")

    assert "was edited or deleted in the meantime" in page.text
    assert asked(servicenow) == 0


async def test_an_edit_while_the_code_is_exchanged_ends_it_too(
    product: Connecting, servicenow: SimulatorServer, integration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_code = TokenRequests.by_code

    async def and_it_is_edited(*args: Any, **options: Any) -> TokenAnswer:
        answer = await by_code(*args, **options)
        await product.edit(integration, client_id="another")
        return answer

    monkeypatch.setattr(TokenRequests, "by_code", and_it_is_edited)

    page = await product.connect(integration)

    assert "was edited or deleted in the meantime" in page.text
    assert asked(servicenow) == 1
    assert (await product.shown(integration))["needs_connection"] is not None
    assert await product.bench.rows("SELECT 1 FROM oauth_tokens WHERE ciphertext IS NOT NULL") == []


async def test_what_gets_its_tokens_by_itself_has_no_address_to_open(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    by_itself = await product.create(servicenow.url, "client_credentials")

    refused = await product.api.client.post(f"/integrations/oauth/{by_itself}/authorize")
    unknown = await product.api.client.post("/integrations/oauth/none/authorize")

    assert (refused.status_code, refused.json()["message"]) == (
        422,
        "Nobody has to sign in for this integration: it gets its tokens by the grant client_credentials",
    )
    assert (unknown.status_code, unknown.json()["message"]) == (404, "Integration not found")


async def test_too_many_returns_from_one_address_are_told_to_wait(product: Connecting) -> None:
    one = await product.come_back(state="made up")
    # As if many more had come at this moment: however long that takes, it does not fill up again meanwhile.
    await product.bench.change("UPDATE rate_buckets SET full_at = full_at + interval '1 day' WHERE key ^@ 'callback:'")

    refused = await product.come_back(state="made up")

    assert one.status_code == 400
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"].startswith("text/html")
