"""Tokens at rest: sealed, rotated with the other secrets, dropped by edits; and access that ends."""

from typing import Any
from uuid import UUID

import pytest

from integrations_api.clock import utc_now
from integrations_api.egress.guard import EgressPolicy
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.oauth.losing import mark_lost
from integrations_api.oauth.subject import Subject, subject_of
from integrations_api.settings import Settings
from integrations_api.simulator.servicenow import SimulatorServer
from integrations_api.vault.cipher import Vault, key_id_of_prefix
from integrations_api.vault.keys import KeyRing, generate_key
from tests.support.connecting import Connecting

pytestmark = pytest.mark.anyio


async def stored(product: Connecting) -> Any:
    rows = await product.bench.rows("SELECT * FROM oauth_tokens")
    return rows[0] if rows else None


def end_access(server: SimulatorServer) -> None:
    server.instance.door.expire_tokens()
    server.instance.door.revoke_refresh_tokens()


async def test_tokens_are_sealed_and_named_among_the_secrets_without_a_part_of_them(
    product: Connecting, servicenow: SimulatorServer, caplog: pytest.LogCaptureFixture
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    page = await product.connect(integration)
    await product.sync(integration)
    (token,) = servicenow.instance.door.tokens.values()

    names = await product.api.client.get(f"/integrations/secrets/{integration}")
    everything = str(await product.bench.rows("SELECT to_json(t)::text FROM oauth_tokens t"))
    everything += str(await product.bench.rows("SELECT to_json(a)::text FROM audit_entries a"))
    everything += str(await product.bench.rows("SELECT to_json(e)::text FROM sync_events e"))

    assert [one["name"] for one in names.json()["secrets"]] == ["config.client_secret", "oauth tokens"]
    for secret in (token.value, token.refresh):
        assert secret.encode() not in (await stored(product)).ciphertext
        assert secret not in everything + caplog.text + page.text + names.text


async def test_a_rotation_of_keys_takes_tokens_along(product: Connecting, servicenow: SimulatorServer) -> None:
    integration = await product.create(servicenow.url, "client_credentials")
    await product.sync(integration)
    before = (await stored(product)).ciphertext
    keys = product.bench.components[Settings].encryption_keys
    assert keys is not None
    new = generate_key()
    both = Vault(KeyRing.parse(f"{new},{keys.get_secret_value()}"))
    keeper = SecretKeeper(sessions=product.bench.sessions, vault=both)

    progress = [one async for one in keeper.rotate()]

    assert (progress[0].remaining, progress[-1].remaining, progress[-1].rewrapped) == (2, 0, 2)
    after = (await stored(product)).ciphertext
    assert [key_id_of_prefix(before) == both.primary_id, key_id_of_prefix(after) == both.primary_id] == [False, True]
    assert [one async for one in keeper.check()] == [None, None]


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [({"client_id": "another"}, False), ({"page_size": 7}, True), ({"client_secret": "new"}, True)],
)
async def test_an_edit_of_the_application_drops_the_tokens_and_no_other_edit_does(
    product: Connecting, servicenow: SimulatorServer, change: dict[str, Any], is_kept: bool
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)

    edited = await product.edit(integration, **change)

    assert (await stored(product) is not None) == is_kept
    assert (edited["needs_connection"] is None) == is_kept


async def test_an_edit_to_another_way_of_signing_in_drops_the_tokens(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)

    config = {"url": servicenow.url, "username": "admin", "password": "of another way"}
    sent = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}
    (await product.api.client.put(f"/integrations/update/{integration}", json=sent)).raise_for_status()

    assert await stored(product) is None


REFUSALS = pytest.mark.parametrize("refusal", ["invalid_grant", "server_error"])
"""The two ways in which instances refuse a grant."""


@REFUSALS
async def test_access_that_ended_is_said_once_everywhere_and_not_tried_again(
    product: Connecting, servicenow: SimulatorServer, refusal: str
) -> None:
    servicenow.instance.door.refusal = refusal
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    await product.api.client.put(f"/integrations/schedule/{integration}", json={"cron": "0 6 * * *"})
    end_access(servicenow)

    runs = [await product.sync(integration) for _ in range(3)]

    words = "Needs to be connected again: ServiceNow refused to renew the access"
    shown = await product.shown(integration)
    assert (shown["needs_connection"], shown["paused"], shown["next_sync_at"]) == (words, words, None)
    assert {run.error for run in runs} == {f"Failed to fetch incidents from ServiceNow: {words}"}
    assert {run.remedy for run in runs} == {
        f"POST /integrations/oauth/{integration}/authorize gives the address to sign in at"
    }
    assert len([entry for entry in servicenow.log.requests if entry.kind == "token"]) == 2
    assert (await product.audited(integration)).count("integration.disconnected") == 1


async def connected(product: Connecting, servicenow: SimulatorServer) -> tuple[str, Subject]:
    """An integration that somebody has signed in for, and what its access is kept by."""
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    async with product.bench.sessions() as session:
        loaded = await product.bench.components[IntegrationReader].load(session, UUID(integration))
    subject = subject_of(loaded, policy=EgressPolicy())
    assert subject is not None
    return integration, subject


async def test_who_finds_late_that_access_had_ended_does_not_undo_a_new_sign_in(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration, subject = await connected(product, servicenow)

    await mark_lost(product.bench.sessions, subject, why="the access of before has ended", generation=0)

    assert (await product.shown(integration))["needs_connection"] is None


async def test_access_of_another_application_that_ended_is_not_said_of_the_one_there_is_now(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration, before = await connected(product, servicenow)
    edited = await product.edit(integration, client_id="another")

    await mark_lost(product.bench.sessions, before, why="the access of before has ended", generation=1)

    assert (await product.shown(integration))["needs_connection"] == edited["needs_connection"]


async def test_a_schedule_that_stood_still_before_its_access_ended_goes_on_standing_still_for_that(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    await product.api.client.put(f"/integrations/schedule/{integration}", json={"cron": "0 6 * * *"})
    await product.bench.change("UPDATE integrations SET paused_reason = 'held', next_sync_at = NULL")
    end_access(servicenow)
    await product.sync(integration)
    ended = await product.shown(integration)

    await product.connect(integration)

    again = await product.shown(integration)
    assert [shown["paused"] for shown in (ended, again)] == ["held", "held"]
    assert (ended["needs_connection"] is None, again["needs_connection"]) == (False, None)


async def test_connecting_again_lets_the_schedule_go_on(product: Connecting, servicenow: SimulatorServer) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    await product.api.client.put(f"/integrations/schedule/{integration}", json={"cron": "0 6 * * *"})
    end_access(servicenow)
    await product.sync(integration)

    before = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    await product.connect(integration)

    shown = await product.shown(integration)
    assert (shown["needs_connection"], shown["paused"]) == (None, None)
    assert shown["next_sync_at"] > before
    assert (await product.sync(integration)).state == "succeeded"


async def test_a_schedule_that_waits_for_a_person_waits_on_when_another_application_is_named(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")
    await product.connect(integration)
    await product.api.client.put(f"/integrations/schedule/{integration}", json={"cron": "0 6 * * *"})
    end_access(servicenow)
    await product.sync(integration)

    edited = await product.edit(integration, client_id="another")

    words = "Needs to be connected: nobody has signed in at ServiceNow yet"
    assert (edited["needs_connection"], edited["paused"], edited["next_sync_at"]) == (words, words, None)


async def test_what_was_never_connected_fails_in_words_without_a_request(
    product: Connecting, servicenow: SimulatorServer
) -> None:
    integration = await product.create(servicenow.url, "authorization_code")

    run = await product.sync(integration)

    assert run.error == (
        "Failed to fetch incidents from ServiceNow: Needs to be connected: nobody has signed in at ServiceNow yet"
    )
    assert list(servicenow.log.requests) == []


@REFUSALS
async def test_a_password_grant_whose_refresh_token_ended_signs_in_anew(
    product: Connecting, servicenow: SimulatorServer, refusal: str
) -> None:
    servicenow.instance.door.refusal = refusal
    integration = await product.create(servicenow.url, "password")
    await product.sync(integration)
    end_access(servicenow)

    run = await product.sync(integration)

    assert run.state == "succeeded"
    assert (await product.shown(integration))["needs_connection"] is None
