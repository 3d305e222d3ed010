"""From end to end with an OAuth 2.0 server that nobody here wrote."""

import httpx
import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from tests.support.authlib_server import USES, authlib_before
from tests.support.connecting import Browser, Connecting
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


async def allow(product: Connecting, integration: str) -> httpx.Response:
    """A person sees who asks, and presses the button."""
    url = await product.authorize_url(integration)
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        asked = await client.get(url)
        assert "Allow" in asked.text
        answer = await client.post(url)
    return await Browser(product.api.url).open(Browser(product.api.url).here(answer.headers["location"], url))


async def test_a_person_signs_in_and_syncs_go_on_by_refresh_tokens_that_rotate(
    product: Connecting, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with authlib_before(servicenow.url) as (url, records):
        integration = await product.create(url, "authorization_code")

        page = await allow(product, integration)
        first, second = await product.sync(integration), await product.sync(integration, mode="full")

        assert (page.status_code, "ServiceNow is connected" in page.text) == (200, True)
        assert [(run.state, run.error) for run in (first, second)] == [("succeeded", None)] * 2
        assert (first.fetched, second.unchanged) == (60, 60)
        assert first.verdict is not None
        assert first.verdict["state"] == "complete"
    used = sum(min(token.uses, USES) for token in records.tokens)
    assert len(records.tokens) == -(-used // USES)  # No token was left before its end, and no renewal was in vain.
    assert records.reused == []


async def test_a_refresh_token_that_was_used_elsewhere_ends_the_access_in_words(
    product: Connecting, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    with authlib_before(servicenow.url) as (url, records):
        integration = await product.create(url, "authorization_code")
        await allow(product, integration)
        records.tokens[-1].is_used_up = True

        failed = await product.sync(integration)
        again = await product.sync(integration)

        assert (
            failed.error
            == again.error
            == (
                "Failed to fetch incidents from ServiceNow: "
                "Needs to be connected again: ServiceNow refused to renew the access"
            )
        )
        assert len(records.reused) == 1
        await allow(product, integration)
        assert (await product.sync(integration)).state == "succeeded"
