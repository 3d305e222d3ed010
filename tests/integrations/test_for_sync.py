"""What a sync reads and writes of an integration."""

import asyncio
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from integrations_api.errors import NotFound
from integrations_api.integrations import for_sync
from integrations_api.integrations.secrets import context_of
from integrations_api.vault.cipher import Vault
from integrations_api.vault.errors import SecretNotAuthentic
from tests.integrations.conftest import SERVICENOW, Room
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

CONFIG = SERVICENOW["config"]
SOMEBODY_WAITS_FOR_A_TABLE = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
)


async def test_a_sync_gets_the_whole_config_and_no_repr_shows_it(room: Room) -> None:
    created = await room.create()

    stored = await room.stored(created["id"])

    assert stored.config == CONFIG
    assert stored.public_config == {**CONFIG, "password": "********"}
    assert "your_password" not in repr(stored)


async def test_an_integration_that_is_gone_is_not_found(room: Room) -> None:
    with pytest.raises(NotFound, match="Integration not found"):
        await room.stored(str(uuid4()))


async def test_secrets_are_stored_sealed_and_bound_to_their_row(room: Room) -> None:
    first, second = await room.create(), await room.create()

    rows = await room.rows("SELECT ciphertext FROM integration_secrets")
    await room.rows(
        "UPDATE integration_secrets SET ciphertext = "
        "(SELECT ciphertext FROM integration_secrets WHERE integration_id = :other) WHERE integration_id = :id",
        id=first["id"],
        other=second["id"],
    )

    assert all(b"your_password" not in row["ciphertext"] for row in rows)
    with pytest.raises(SecretNotAuthentic):
        await room.stored(first["id"])


async def test_an_edit_in_the_middle_of_reading_sends_no_new_secret_to_the_old_address(room: Room) -> None:
    created = await room.create()
    integration_id = UUID(created["id"])
    theirs = room.app.components[Vault].seal('"theirs"', context=context_of(integration_id, "/password"))
    async with room.sessions.begin() as edit:
        await edit.execute(text("LOCK TABLE integration_secrets"))
        reading = asyncio.create_task(room.stored(created["id"]))
        async with asyncio.timeout(PATIENCE):
            while not await room.rows(SOMEBODY_WAITS_FOR_A_TABLE):  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.02)

        moved = "UPDATE integrations SET config = replace(config::text, :before, 'https://elsewhere.example')::json"
        await edit.execute(text(moved), {"before": CONFIG["url"]})
        await edit.execute(text("UPDATE integration_secrets SET ciphertext = :sealed"), {"sealed": theirs})

    config = (await reading).config
    assert (config["url"], config["password"]) == ("https://elsewhere.example", "theirs")


async def test_a_success_sets_every_field_in_the_callers_transaction(room: Room) -> None:
    created = await room.create()
    await room.rows("UPDATE integrations SET needs_full = true, failures_in_a_row = 3, last_sync_error = 'x'")
    before = await room.shown(created["id"])
    at = datetime.fromisoformat("2026-03-01T10:30:00.900Z")
    fingerprint = (await room.stored(created["id"])).fingerprint
    integration_id = UUID(created["id"])

    async with room.sessions.begin() as session:
        await for_sync.record_success(session, integration_id, at=at, watermark=at, fingerprint=fingerprint)
        told = await for_sync.shown(session, integration_id)
        unseen = await room.shown(created["id"])

    assert unseen == before
    assert told == await room.shown(created["id"])
    assert told["config"] == {**CONFIG, "password": "********", "lastSynced": "2026-03-01T10:30:00Z"}
    assert [told["last_synced_at"], told["updated_at"]] == ["2026-03-01T10:30:00Z"] * 2
    assert [told["last_sync_status"], told["last_sync_error"]] == ["success", None]
    stored = await room.stored(created["id"])
    assert (stored.watermark, stored.needs_full) == (at, False)
    assert await room.rows("SELECT failures_in_a_row AS n FROM integrations") == [{"n": 0}]


async def test_a_success_without_a_watermark_leaves_the_one_there_is(room: Room) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z")

    await room.synced(created["id"], "2026-03-01T11:30:00Z")
    async with room.sessions.begin() as session:
        await for_sync.record_success(
            session,
            UUID(created["id"]),
            at=room.clock.set("2026-03-01T12:30:00Z"),
            watermark=None,
            fingerprint=(await room.stored(created["id"])).fingerprint,
        )

    stored = await room.stored(created["id"])
    assert stored.watermark == datetime.fromisoformat("2026-03-01T11:30:00Z")
    assert stored.last_synced_at == datetime.fromisoformat("2026-03-01T12:30:00Z")


async def test_a_failure_leaves_what_earlier_syncs_reached(room: Room) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z")
    at = room.clock.set("2026-03-01T11:00:00Z")

    for _ in range(2):
        async with room.sessions.begin() as session:
            await for_sync.record_failure(
                session, UUID(created["id"]), at=at, message="Connection timeout", pause_after=5
            )

    shown, stored = await room.shown(created["id"]), await room.stored(created["id"])
    assert [shown["last_sync_status"], shown["last_sync_error"]] == ["error", "Connection timeout"]
    assert [shown["last_synced_at"], shown["updated_at"]] == ["2026-03-01T10:30:00Z", "2026-03-01T11:00:00Z"]
    assert shown["config"]["lastSynced"] == "2026-03-01T10:30:00Z"
    assert stored.watermark == datetime.fromisoformat("2026-03-01T10:30:00Z")
    assert await room.rows("SELECT failures_in_a_row AS n FROM integrations") == [{"n": 2}]


async def test_a_run_of_another_source_does_not_move_the_watermark(room: Room) -> None:
    created = await room.create()
    before = (await room.stored(created["id"])).fingerprint
    await room.put(created["id"], config={**CONFIG, "url": "https://prod.service-now.com"})

    await room.synced(created["id"], "2026-03-01T10:30:00Z", fingerprint=before)

    stored = await room.stored(created["id"])
    assert (stored.watermark, stored.needs_full) == (None, True)


async def test_a_watermark_moved_back_while_a_run_goes_on_is_not_lost(room: Room) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z")
    reads_from = (await room.stored(created["id"])).watermark
    await room.put(created["id"], config={**CONFIG, "lastSynced": "2026-02-01T00:00:00Z"})

    await room.synced(created["id"], "2026-03-01T11:30:00Z", reads_from=reads_from)
    kept = (await room.stored(created["id"])).watermark
    await room.synced(created["id"], "2026-03-01T12:30:00Z", reads_from=kept)

    assert kept == datetime.fromisoformat("2026-02-01T00:00:00Z")
    assert (await room.stored(created["id"])).watermark == datetime.fromisoformat("2026-03-01T12:30:00Z")
