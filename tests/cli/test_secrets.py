"""`secrets`: what is stored is moved to another key and checked; without a key it needs nothing starts."""

import asyncio
import os
from uuid import UUID

import pytest

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.integrations.schemas import IntegrationIn
from integrations_api.integrations.service import IntegrationService
from integrations_api.settings import load_settings
from integrations_api.vault.keys import generate_key
from integrations_api.wiring import assemble
from tests.cli.conftest import Run

pytestmark = pytest.mark.usefixtures("on_database")

ADA = Principal(
    user_id=UUID(int=1), email="ada@example.com", permissions=frozenset(Permission), credential="token:test"
)


def store_a_secret() -> None:
    """An integration with a password, sealed under the keys of the environment."""
    config = {"url": "https://10.0.0.1", "username": "admin", "password": "canary"}
    sent = IntegrationIn(service_name="ServiceNow", auth_type="basic_auth", config=config, is_active=True)

    async def store() -> None:
        async with assemble(load_settings()) as components:
            await components[IntegrationService].create(sent, principal=ADA)

    asyncio.run(store())


def test_secrets_move_to_a_new_key_and_the_old_one_can_go(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store_a_secret()
    old, new = os.environ["ENCRYPTION_KEYS"], generate_key()
    monkeypatch.setenv("ENCRYPTION_KEYS", f"{new},{old}")

    rotated = run("secrets", "rotate")
    monkeypatch.setenv("ENCRYPTION_KEYS", new)
    checked = run("secrets", "check")

    assert (rotated.code, rotated.out) == (0, "0 re-wrapped, 1 remain\n1 re-wrapped, 0 remain\n")
    assert (checked.code, checked.out) == (0, "1 of 1 secrets open\n")


def test_a_missing_key_is_named_by_the_check_the_rotation_and_the_start(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_a_secret()
    needed = os.environ["ENCRYPTION_KEYS"].partition(":")[0]
    monkeypatch.setenv("ENCRYPTION_KEYS", generate_key())

    checked, rotated = run("secrets", "check"), run("secrets", "rotate")
    started = [run("serve", "--no-worker", "--port", "0"), run("worker")]

    assert checked.code == 1
    assert f"config.password: A stored secret needs the encryption key {needed}:" in checked.out
    assert [outcome.code for outcome in (rotated, *started)] == [1, 1, 1]
    assert all(f"encryption key {needed}: add it to ENCRYPTION_KEYS" in one.err for one in (rotated, *started))
    assert rotated.complaint.endswith("; `integrations-api secrets check` names all that do not open")
