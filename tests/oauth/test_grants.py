"""Whole syncs from a source that signs in by OAuth: each grant, and tokens that end in the middle."""

from typing import Any

import pytest

from integrations_api.simulator.common.clock import ManualClock
from integrations_api.simulator.common.faults import AfterPage
from integrations_api.simulator.servicenow import SimulatorServer
from integrations_api.simulator.servicenow.access import TOKEN_SECONDS
from tests.support.connecting import GRANTS, Connecting

pytestmark = pytest.mark.anyio


def requests(server: SimulatorServer, kind: str) -> list[Any]:
    return [entry for entry in server.log.requests if entry.kind == kind]


@pytest.mark.parametrize("grant", GRANTS)
async def test_a_sync_signs_in_by_its_grant_and_asks_for_one_token(
    product: Connecting, servicenow: SimulatorServer, grant: str
) -> None:
    integration = await product.create(servicenow.url, grant)
    if grant == "authorization_code":
        assert (await product.connect(integration)).status_code == 200

    run = await product.sync(integration)

    assert (run.state, run.error) == ("succeeded", None)
    assert run.verdict is not None
    assert run.verdict["state"] == "complete"
    assert len(requests(servicenow, "token")) == 1
    assert {entry.auth for entry in servicenow.log.requests if entry.kind not in ("token", "authorize")} == {"bearer"}


@pytest.mark.parametrize("grant", GRANTS)
async def test_a_run_crosses_the_end_of_its_token_without_a_seam(
    product: Connecting, servicenow: SimulatorServer, grant: str
) -> None:
    integration = await product.create(servicenow.url, grant)
    if grant == "authorization_code":
        await product.connect(integration)
    clock = servicenow.instance.clock
    assert isinstance(clock, ManualClock)
    servicenow.add_fault(AfterPage(lambda _: clock.advance(TOKEN_SECONDS), on="page"))

    run = await product.sync(integration)

    assert (run.state, run.error, run.attempt) == ("succeeded", None, 1)
    assert run.fetched == 60
    assert len(requests(servicenow, "token")) >= 3


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
async def test_tokens_that_are_taken_back_in_mid_run_are_renewed_and_nothing_is_lost(
    product: Connecting, servicenow: SimulatorServer, grant: str
) -> None:
    integration = await product.create(servicenow.url, grant)
    taken_back = [servicenow.add_fault("token_expiry", skip=skip) for skip in (1, 4, 7)]

    run = await product.sync(integration)

    assert [fault.hits for fault in taken_back] == [1, 1, 1]
    assert (run.state, run.error, run.attempt, run.fetched) == ("succeeded", None, 1, 60)
    assert run.verdict is not None
    assert run.verdict["state"] == "complete"


async def test_the_next_sync_goes_on_with_the_stored_token(product: Connecting, servicenow: SimulatorServer) -> None:
    integration = await product.create(servicenow.url, "client_credentials")
    await product.sync(integration)

    await product.sync(integration, mode="full")

    assert len(requests(servicenow, "token")) == 1


async def test_a_token_that_the_table_api_refuses_fails_the_sync_with_what_an_administrator_can_do(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    servicenow.instance.door.clients["simulator-client"].is_linked_to_access_policy = False
    integration = await product.create(servicenow.url, "client_credentials")

    run = await product.sync(integration)

    assert run.error == ("Failed to fetch incidents from ServiceNow: Sign-in was refused (401): User Not Authenticated")
    assert "REST API access policy" in str(run.remedy)
    assert len(requests(servicenow, "token")) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"client_secret": "wrong"}, "The OAuth server refused the application"),
        ({"password": "wrong"}, "Sign-in was refused by the OAuth server"),
    ],
)
async def test_wrong_credentials_fail_the_sync_in_words(
    product: Connecting, servicenow: SimulatorServer, change: dict[str, str], message: str
) -> None:
    integration = await product.create(servicenow.url, "password", **change)

    run = await product.sync(integration)

    assert run.error == f"Failed to fetch incidents from ServiceNow: {message}"
    assert str(run.remedy).startswith("Check ")
    assert (await product.shown(integration))["needs_connection"] is None


@pytest.mark.parametrize("grant", ["client_credentials", "password"])
async def test_a_connection_can_be_tested_before_it_is_stored(
    product: Connecting, servicenow: SimulatorServer, grant: str
) -> None:
    config = {"url": servicenow.url, "grant": grant, **GRANTS[grant]}
    sent = {"service_name": "ServiceNow", "auth_type": "oauth2", "config": config, "is_active": True}

    checks = (await product.api.client.post("/integrations/test", json=sent)).json()["checks"]

    assert "failed" not in [check["status"] for check in checks]
    assert {"name": "signed in", "status": "ok", "seen": f"Signed in by OAuth ({grant})", "remedy": None} in checks
    assert await product.bench.rows("SELECT 1 FROM oauth_tokens") == []


async def test_what_somebody_must_sign_in_for_cannot_be_tested_before_it_is_stored(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    config = {"url": servicenow.url, "grant": "authorization_code", **GRANTS["authorization_code"]}
    sent = {"service_name": "ServiceNow", "auth_type": "oauth2", "config": config, "is_active": True}

    checks = (await product.api.client.post("/integrations/test", json=sent)).json()["checks"]

    assert [(check["status"], check["remedy"]) for check in checks] == [
        ("failed", "Create the integration, connect it, then test it")
    ]
