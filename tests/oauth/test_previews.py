"""Previews of edits: the tokens they read with, and what they leave of those that are stored."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.oauth.tokens import TokenKeeper
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow import Fault, ServiceNowInstance, SimulatorServer
from integrations_api.simulator.servicenow.messages import Call
from tests.support.connecting import GRANTS, Connecting

pytestmark = pytest.mark.anyio


class UnknownClient(Fault):
    """Says of another client secret what many instances say of all that they do not accept."""

    name = "unknown_client"
    default_on = "token"

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if not self.strikes(call) or b"another-secret" not in call.body:
            return None
        return Answer.json({"error": "server_error", "error_description": "access_denied"}, 401)


async def previewed(product: Connecting, integration: str, **config: Any) -> httpx.Response:
    """An edit of the config that is only tried."""
    shown = await product.shown(integration)
    body = shown | {"config": shown["config"] | config}
    return await product.api.client.post(f"/integrations/preview/{integration}", json=body)


@pytest.mark.parametrize("change", [{"grant": "password", **GRANTS["password"]}, {"client_secret": "********"}])
async def test_an_edit_is_previewed_with_tokens_of_its_own(
    product: Connecting, servicenow: SimulatorServer, change: dict[str, Any]
) -> None:
    integration = await product.create(servicenow.url, "client_credentials")
    await product.sync(integration)
    before = await product.bench.rows("SELECT * FROM oauth_tokens")

    preview = await previewed(product, integration, **change)

    assert (preview.status_code, preview.json().get("to_read")) == (200, 60), preview.text
    assert await product.bench.rows("SELECT * FROM oauth_tokens") == before


async def test_what_somebody_signed_in_for_is_previewed_with_his_tokens(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)

    preview = await previewed(product, integration, filter="active=true")
    another = await previewed(product, integration, client_id="another")

    assert preview.status_code == 200, preview.text
    assert another.status_code == 503
    assert another.json()["message"].endswith("Store the edit, then connect the integration")


async def test_an_edit_that_is_refused_new_tokens_leaves_the_stored_ones(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    await product.bench.change("UPDATE oauth_tokens SET renew_at = now() - interval '1 hour'")
    servicenow.instance.door.expire_tokens()
    servicenow.add_fault(UnknownClient(times=None))

    preview = await previewed(product, integration, client_secret="another-secret")

    assert preview.status_code == 503
    assert (await product.shown(integration))["needs_connection"] is None
    async with product.bench.sessions() as session:
        stored = await product.bench.components[IntegrationReader].load(session, UUID(integration))
    tokens = product.bench.components[TokenKeeper].tokens_for(stored)
    assert tokens is not None
    assert await tokens.current() in servicenow.instance.door.tokens
