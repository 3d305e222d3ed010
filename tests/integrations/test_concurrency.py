"""Edits at the same moment: each is whole, none is half of another."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integrations.conftest import Room

pytestmark = pytest.mark.anyio


async def test_edits_at_once_each_leave_a_whole_config(room: Room) -> None:
    created = await room.create()
    configs = [
        {"url": f"https://site{n}.example", "username": f"user{n}", "password": f"password{n}", f"only{n}": n}
        for n in range(8)
    ]

    answers = await asyncio.gather(*(room.put(created["id"], config=config) for config in configs))

    assert {answer.status_code for answer in answers} == {200}
    stored = await room.stored(created["id"])
    assert stored.config in configs
    assert stored.config_revision == 1 + len(configs)
    assert len(await room.rows("SELECT 1 FROM audit_entries WHERE action = 'integration.update'")) == len(configs)


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_edits_at_once_are_done_whatever_isolation_the_database_gives_by_default(room: Room, level: str) -> None:
    created = await room.create()
    alter = "'ALTER DATABASE %I SET default_transaction_isolation = %L'"
    await room.rows(f"DO $$ BEGIN EXECUTE format({alter}, current_database(), '{level}'); END $$")
    await room.app.components[AsyncEngine].dispose()  # Connections that are open do not hear of it.

    answers = await asyncio.gather(*(room.put(created["id"], service_name=f"ServiceNow {n}") for n in range(8)))

    assert {answer.status_code for answer in answers} == {200}


async def test_a_masked_edit_beside_one_that_moves_never_mixes_secret_and_origin(room: Room) -> None:
    created = await room.create()
    moving = {"url": "https://elsewhere.example", "username": "b", "password": "theirs"}
    masked = {**created["config"], "username": "c"}

    await asyncio.gather(room.put(created["id"], config=moving), room.put(created["id"], config=masked))

    config = (await room.stored(created["id"])).config
    origins = {"theirs": "https://elsewhere.example", "your_password": "https://dev12345.service-now.com"}
    assert config["url"] == origins[config["password"]]


async def test_an_edit_beside_a_delete_is_done_or_not_found(room: Room) -> None:
    created = await room.create()

    edited, deleted = await asyncio.gather(
        room.put(created["id"]), room.send("DELETE", f"/integrations/delete/{created['id']}")
    )

    assert deleted.status_code == 200
    assert edited.status_code in {200, 404}
    assert await room.rows("SELECT 1 FROM integrations UNION ALL SELECT 1 FROM integration_secrets") == []


async def test_an_integration_is_deleted_once(room: Room) -> None:
    created = await room.create()

    answers = await asyncio.gather(*(room.send("DELETE", f"/integrations/delete/{created['id']}") for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert len(await room.rows("SELECT 1 FROM audit_entries WHERE action = 'integration.delete'")) == 1


async def test_edits_go_on_beside_a_migration_that_adds_a_column(room: Room) -> None:
    created = await room.create()

    async def edit() -> int:
        return (await room.put(created["id"], service_name="ServiceNow EMEA")).status_code

    before = [await edit() for _ in range(5)]
    await room.rows("ALTER TABLE integrations ADD COLUMN of_a_later_release text")
    after = [await edit() for _ in range(5)]

    assert (before, after) == ([200] * 5, [200] * 5)
