"""Secrets are moved to another key while the service runs, checked one by one, and told of by name only."""

import base64
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.errors import ConfigurationError
from integrations_api.integrations import secrets as module
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.vault.cipher import Vault
from integrations_api.vault.errors import SecretNotAuthentic, UnknownKey
from integrations_api.vault.keys import KeyRing, generate_key
from tests.integrations.conftest import Room

pytestmark = pytest.mark.anyio

OLD, NEW = generate_key(), generate_key()


def keeper_of(room: Room, *keys: str) -> SecretKeeper:
    return SecretKeeper(sessions=room.sessions, vault=Vault(KeyRing.parse(",".join(keys))))


async def plant(room: Room, count: int) -> list[str]:
    """Integrations whose passwords are sealed under the old key."""
    room.service._vault = Vault(KeyRing.parse(OLD))
    return [(await room.create())["id"] for _ in range(count)]


async def run(room: Room, statement: str) -> None:
    async with room.app.components[AsyncEngine].begin() as connection:
        await connection.execute(text(statement))


async def password(room: Room, integration_id: str, *keys: str) -> Any:
    reader = IntegrationReader(vault=Vault(KeyRing.parse(",".join(keys))))
    async with room.sessions() as session:
        return (await reader.load(session, UUID(integration_id))).config["password"]


async def test_a_rotation_moves_every_secret_to_the_first_key(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    planted = await plant(room, 5)

    seen = [(step.rewrapped, step.remaining) async for step in keeper_of(room, NEW, OLD).rotate()]
    opened = [await password(room, one, NEW) for one in planted]

    assert seen == [(0, 5), (2, 3), (4, 1), (5, 0)]
    assert opened == ["your_password"] * 5


async def test_a_rotation_that_was_broken_off_goes_on_where_it_was(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    await plant(room, 5)
    steps = keeper_of(room, NEW, OLD).rotate()
    await anext(steps)
    await anext(steps)
    await steps.aclose()  # type: ignore[attr-defined]

    seen = [(step.rewrapped, step.remaining) async for step in keeper_of(room, NEW, OLD).rotate()]

    assert seen == [(0, 3), (2, 1), (3, 0)]


async def test_a_rotation_without_the_old_key_names_it_and_changes_nothing(room: Room) -> None:
    (planted,) = await plant(room, 1)

    with pytest.raises(UnknownKey, match=OLD.partition(":")[0]):
        _ = [step async for step in keeper_of(room, NEW).rotate()]

    assert await password(room, planted, OLD) == "your_password"


async def test_a_secret_copied_to_another_row_is_not_rewrapped(room: Room) -> None:
    await plant(room, 2)
    await run(room, "UPDATE integration_secrets SET ciphertext = (SELECT ciphertext FROM integration_secrets LIMIT 1)")

    with pytest.raises(SecretNotAuthentic):
        _ = [step async for step in keeper_of(room, NEW, OLD).rotate()]


async def test_the_check_names_each_secret_that_does_not_open(room: Room) -> None:
    planted = await plant(room, 3)
    await run(room, f"UPDATE integration_secrets SET ciphertext = '\\x00' WHERE integration_id = '{planted[1]}'")

    found = [trouble async for trouble in keeper_of(room, OLD).check()]

    assert [(str(one.integration_id), one.name) for one in found if one] == [(planted[1], "config.password")]
    assert len(found) == 3


async def test_a_start_without_a_key_that_rows_need_names_it(room: Room) -> None:
    await plant(room, 1)
    await keeper_of(room, NEW, OLD).require_keys()

    with pytest.raises(ConfigurationError, match=f"needs the encryption key {OLD.partition(':')[0]}:"):
        await keeper_of(room, NEW).require_keys()


async def test_a_key_whose_id_begins_like_anothers_is_another(room: Room) -> None:
    one, ten = (f"{name}:{base64.b64encode(bytes(range(n, n + 32))).decode()}" for name, n in (("k1", 9), ("k10", 99)))
    room.service._vault = Vault(KeyRing.parse(ten))
    await room.create()

    assert await keeper_of(room, one, ten).remaining() == 1


async def test_which_secrets_are_set_can_be_read_by_name_and_time_only(room: Room) -> None:
    config = {"url": "https://dev1.service-now.com", "username": "a", "password": "canary", "x": [{"token": "canary"}]}
    created = await room.create(config=config)

    answer = await room.send("GET", f"/integrations/secrets/{created['id']}")
    missing = await room.send("GET", f"/integrations/secrets/{UUID(int=1)}")

    at = "2026-03-01T09:00:00Z"
    assert answer.json() == {
        "success": True,
        "secrets": [{"name": "config.password", "set_at": at}, {"name": "config.x.0.token", "set_at": at}],
    }
    assert (missing.status_code, missing.json()["message"]) == (404, "Integration not found")
