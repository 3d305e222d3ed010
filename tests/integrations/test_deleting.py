"""Deleting: what goes, and what stays for audit."""

import pytest

from tests.integrations.conftest import Room

pytestmark = pytest.mark.anyio


async def has_history(room: Room, integration_id: str, *, state: str = "succeeded") -> None:
    """Gives an integration a published version with one incident, a run, its log, and what it staged."""
    facts = {"id": integration_id, "state": state}
    for statement in (
        "INSERT INTO datasets (id, integration_id, service_name, head) VALUES (:id, :id, 'ServiceNow', 1)",
        "INSERT INTO sync_runs (id, integration_id, dataset_id, mode, trigger, state)"
        " VALUES (:id, :id, :id, 'full', 'manual', :state)",
        "INSERT INTO sync_events (run_id, seq, event, payload) VALUES (:id, 1, 'progress', '{}')",
        "INSERT INTO versions (dataset_id, number, state, kind, run_id) VALUES (:id, 1, 'published', 'sync', :id)",
        "INSERT INTO documents (id, dataset_id, external_id) VALUES (:id, :id, 'x')",
        "INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)"
        " VALUES (:id, 'h', 't', 't', '[]', '{}', '')",
        "INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change)"
        " SELECT :id, 1, :id, id, 'INC1', 'added' FROM contents",
        "INSERT INTO raw_records (run_id, external_id, seq, dataset_id, raw) VALUES (:id, 'x', 1, :id, '{}')",
        "INSERT INTO rejected_records (run_id, external_id, dataset_id, reason, raw) VALUES (:id, 'y', :id, '', '')",
        "INSERT INTO staged_changes (run_id, ordinal, document_id, external_id, number, change)"
        " VALUES (:id, 1, :id, 'x', 'INC1', 'added')",
    ):
        await room.rows(statement, **{name: value for name, value in facts.items() if f":{name}" in statement})


TABLES = (
    "datasets", "versions", "documents", "contents", "revisions", "raw_records", "rejected_records",
    "staged_changes", "sync_runs", "sync_events",
)  # fmt: skip


async def counts(room: Room, *tables: str) -> dict[str, int]:
    return {table: (await room.rows(f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in tables}


async def test_the_config_and_its_secrets_are_gone(room: Room) -> None:
    created = await room.create()

    await room.send("DELETE", f"/integrations/delete/{created['id']}")

    assert await counts(room, "integrations", "integration_secrets") == {"integrations": 0, "integration_secrets": 0}
    assert (await room.send("GET", f"/integrations/id/{created['id']}")).status_code == 404
    assert (await room.send("DELETE", f"/integrations/delete/{created['id']}")).status_code == 404


async def test_the_dataset_and_the_runs_stay_without_an_integration(room: Room) -> None:
    created = await room.create()
    await has_history(room, created["id"])

    response = await room.send("DELETE", f"/integrations/delete/{created['id']}")

    assert response.status_code == 200
    assert await counts(room, *TABLES) == dict.fromkeys(TABLES, 1)
    assert await room.rows("SELECT integration_id FROM datasets") == [{"integration_id": None}]
    assert await room.rows("SELECT integration_id FROM sync_runs") == [{"integration_id": None}]


async def test_a_purge_removes_dataset_and_run_history_of_this_integration_only(room: Room) -> None:
    purged, other = await room.create(), await room.create()
    await has_history(room, purged["id"])
    await room.rows("INSERT INTO datasets (id, integration_id, service_name) VALUES (:id, :id, 'x')", id=other["id"])

    response = await room.send("DELETE", f"/integrations/delete/{purged['id']}?purge=true")

    assert response.json() == {"success": True, "message": "Integration deleted successfully"}
    assert await counts(room, *TABLES) == {**dict.fromkeys(TABLES, 0), "datasets": 1}
    assert (await room.shown(other["id"]))["id"] == other["id"]


@pytest.mark.parametrize("state", ["succeeded", "running"])
async def test_what_a_deleted_integration_has_left_behind_can_be_purged_later(room: Room, state: str) -> None:
    gone, other = await room.create(), await room.create()
    await has_history(room, gone["id"], state=state)
    await room.rows("INSERT INTO datasets (id, integration_id, service_name) VALUES (:id, :id, 'x')", id=other["id"])
    await room.send("DELETE", f"/integrations/delete/{gone['id']}")
    url = f"/integrations/delete/{gone['id']}?purge=true"

    removed, again = await room.send("DELETE", url), await room.send("DELETE", url)

    assert [removed.status_code, again.status_code] == [200, 404]
    assert await counts(room, *TABLES) == {**dict.fromkeys(TABLES, 0), "datasets": 1}
    told = await room.rows(
        "SELECT action, details ->> 'purge' AS purge FROM audit_entries"
        " WHERE object_id = :id AND action <> 'integration.create' ORDER BY id",
        id=gone["id"],
    )
    ends = [{"action": "sync.end", "purge": None}] if state == "running" else []
    deletions = [{"action": "integration.delete", "purge": purge} for purge in ("false", "true")]
    assert [row for row in told if row["action"] == "integration.delete"] == deletions
    assert [row for row in told if row["action"] != "integration.delete"] == ends


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_a_run_that_is_going_on_is_shown_and_loses_its_integration(room: Room, state: str) -> None:
    created = await room.create()
    await has_history(room, created["id"], state=state)

    shown = await room.shown(created["id"])
    edited = (await room.put(created["id"])).json()["integration"]
    await room.send("DELETE", f"/integrations/delete/{created['id']}")

    assert [shown["running_run_id"], edited["running_run_id"]] == [created["id"]] * 2
    assert await room.rows("SELECT integration_id FROM sync_runs") == [{"integration_id": None}]


async def test_a_run_that_is_over_is_not_shown(room: Room) -> None:
    created = await room.create()
    await has_history(room, created["id"], state="failed")

    assert (await room.shown(created["id"]))["running_run_id"] is None
