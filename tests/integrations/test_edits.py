"""Creating and replacing: what is refused, what secrets do, what an edit does to the watermark."""

from datetime import datetime
from typing import Any

import pytest

from tests.integrations.conftest import SERVICENOW, Room

pytestmark = pytest.mark.anyio

MASK = "********"
CONFIG: dict[str, Any] = SERVICENOW["config"]
MASKED = {**CONFIG, "password": MASK}


async def position(room: Room, integration_id: str) -> dict[str, Any]:
    """What the next sync would start from."""
    stored = await room.stored(integration_id)
    return {"watermark": stored.watermark, "needs_full": stored.needs_full, "revision": stored.config_revision}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["service_name", "auth_type", "config", "is_active"]),
        ([], ["body"]),
        ({**SERVICENOW, "service_name": "  "}, ["service_name"]),
        ({**SERVICENOW, "service_name": ""}, ["service_name"]),
        ({**SERVICENOW, "service_name": "x" * 201}, ["service_name"]),
        ({**SERVICENOW, "service_name": "a\nb"}, ["service_name"]),
        ({**SERVICENOW, "service_name": 5}, ["service_name"]),
        ({**SERVICENOW, "auth_type": "kerberos"}, ["auth_type"]),
        ({**SERVICENOW, "is_active": "true"}, ["is_active"]),
        ({**SERVICENOW, "is_active": 1}, ["is_active"]),
        ({**SERVICENOW, "is_active": None}, ["is_active"]),
        ({**SERVICENOW, "config": "url"}, ["config"]),
        ({**SERVICENOW, "config": []}, ["config"]),
        ({**SERVICENOW, "config": None}, ["config"]),
        ({**SERVICENOW, "enabled": True}, ["enabled"]),
        ({**SERVICENOW, "config": {}}, ["config.url", "config.username", "config.password"]),
        ({**SERVICENOW, "config": {**CONFIG, "url": "https://u:p@x.example"}}, ["config.url"]),
        ({**SERVICENOW, "config": {**CONFIG, "url": "ldap://x.example"}}, ["config.url"]),
        ({**SERVICENOW, "config": {**CONFIG, "url": 5}}, ["config.url"]),
        ({**SERVICENOW, "config": {**CONFIG, "password": MASK}}, ["config.password"]),
        ({**SERVICENOW, "config": {**CONFIG, "lastSynced": "soon"}}, ["config.lastSynced"]),
        ({**SERVICENOW, "config": {**CONFIG, "lastSynced": "2099-01-01T00:00:00Z"}}, ["config.lastSynced"]),
        ({**SERVICENOW, "config": {"lastSynced": "soon", "url": "x"}},
         ["config.lastSynced", "config.url", "config.username", "config.password"]),
        ({**SERVICENOW, "service_name": "Nobody", "config": {"url": "https://u:p@x.example"}}, ["config.url"]),
        ({**SERVICENOW, "service_name": "Nobody", "config": {"x": "y" * 40_000}}, ["config.x"]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_and_nothing_is_stored(room: Room, body: Any, fields: list[str]) -> None:
    response = await room.send("POST", "/integrations/create", body)

    answer = response.json()
    assert response.status_code == 422
    assert sorted(error["field"] for error in answer["errors"]) == sorted(fields)
    assert fields[0].rpartition(".")[2] in answer["message"]
    assert answer["success"] is False
    assert "your_password" not in response.text
    assert (await room.send("GET", "/integrations/all")).json()["integrations"] == []


async def test_what_was_read_can_be_edited_and_written_back(room: Room) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z", watermark="2026-03-01T10:25:00Z")
    read = await room.shown(created["id"])

    response = await room.send("PUT", f"/integrations/update/{created['id']}", {**read, "is_active": False})

    assert response.status_code == 200
    assert response.json()["integration"] == {**read, "is_active": False}
    stored = await room.stored(created["id"])
    assert stored.config == CONFIG
    assert stored.watermark == datetime.fromisoformat("2026-03-01T10:25:00Z")


async def test_an_edit_replaces_the_whole_config(room: Room) -> None:
    created = await room.create(service_name="Other", config={"a": 1, "token": "t", "z": {"password": "p"}})

    response = await room.put(created["id"], service_name="Other", config={"z": {"password": MASK, "b": 2}, "a": True})

    assert response.json()["integration"]["config"] == {"z": {"password": MASK, "b": 2}, "a": True}
    assert (await room.stored(created["id"])).config == {"z": {"password": "p", "b": 2}, "a": True}
    paths = await room.rows("SELECT path FROM integration_secrets")
    assert paths == [{"path": "/z/password"}]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"n": 1}, {"n": True}),
        ({"n": 1}, {"n": 1.0}),
        ({"o": {"x": 1, "y": 2}}, {"o": {"y": 2, "x": 1}}),
    ],
)
async def test_edits_that_look_equal_to_python_are_edits_all_the_same(
    room: Room, before: dict[str, Any], after: dict[str, Any]
) -> None:
    created = await room.create(service_name="Other", config=before)

    await room.put(created["id"], service_name="Other", config=after)

    shown = (await room.send("GET", f"/integrations/id/{created['id']}")).text
    assert str(after).replace("'", '"').replace(" ", "").replace("True", "true") in shown


async def test_a_masked_secret_does_not_follow_to_another_origin(room: Room) -> None:
    created = await room.create()

    response = await room.put(created["id"], config={**MASKED, "url": "https://evil.example"})

    assert response.status_code == 422
    assert response.json() == {
        "success": False,
        "message": "Re-enter the password: the URL points to another origin",
        "errors": [{"field": "config.password", "message": "Re-enter the password: the URL points to another origin"}],
    }
    assert (await room.shown(created["id"]))["config"] == MASKED
    assert (await room.stored(created["id"])).config == CONFIG


async def test_a_detour_through_an_unknown_service_does_not_free_a_secret(room: Room) -> None:
    created = await room.create()

    away = await room.put(created["id"], service_name="Other", config={"password": MASK})
    sideways = await room.put(
        created["id"], service_name="Other", config={**MASKED, "token_url": "https://evil.example"}
    )
    renamed = await room.put(created["id"], service_name="Other", config=MASKED)
    back = await room.put(created["id"], config={**MASKED, "url": "https://evil.example"})

    assert [r.status_code for r in (away, sideways, renamed, back)] == [422, 422, 200, 422]


async def test_a_mere_rename_may_leave_a_known_service_incomplete(room: Room) -> None:
    config = {"url": "https://x.example", "note": "no user yet"}
    created = await room.create(service_name="Other", config=config)

    renamed = await room.put(created["id"], service_name="ServiceNow", config=config)
    edited = await room.put(created["id"], service_name="ServiceNow", config={**config, "note": "still none"})

    assert renamed.status_code == 200
    assert edited.status_code == 422
    assert edited.json()["message"] == "config.username: is required"


async def test_a_start_sent_at_creation_is_shown_and_used(room: Room) -> None:
    created = await room.create(config={**CONFIG, "lastSynced": "2026-02-01T01:00:00+01:00"})

    assert list(created["config"].items())[-1] == ("lastSynced", "2026-02-01T00:00:00Z")
    stored = await room.stored(created["id"])
    assert stored.watermark == datetime.fromisoformat("2026-02-01T00:00:00Z")
    assert "lastSynced" not in stored.config


async def test_the_shown_time_mirrors_the_last_sync_until_an_edit_without_it(room: Room) -> None:
    created = await room.create()
    shown = [created["config"].get("lastSynced")]

    await room.synced(created["id"], "2026-03-01T10:30:00Z")
    shown.append((await room.shown(created["id"]))["config"].get("lastSynced"))
    await room.put(created["id"], config=MASKED)
    shown.append((await room.shown(created["id"]))["config"].get("lastSynced"))
    await room.synced(created["id"], "2026-03-01T11:30:00Z")
    shown.append((await room.shown(created["id"]))["config"].get("lastSynced"))

    assert shown == [None, "2026-03-01T10:30:00Z", None, "2026-03-01T11:30:00Z"]


@pytest.mark.parametrize(
    ("sent", "watermark", "shown"),
    [
        ("2026-03-01T10:30:00Z", "2026-03-01T10:25:00Z", "2026-03-01T10:30:00Z"),
        ("2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z", "2026-03-01T08:00:00Z"),
        ("2026-03-01T10:40:00Z", "2026-03-01T10:25:00Z", "2026-03-01T10:30:00Z"),
    ],
)
async def test_a_time_sent_with_an_edit_only_moves_the_watermark_back(
    room: Room, sent: str, watermark: str, shown: str
) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z", watermark="2026-03-01T10:25:00Z")
    room.clock.set("2026-03-01T10:50:00Z")

    response = await room.put(created["id"], config={**MASKED, "lastSynced": sent})

    assert response.json()["integration"]["config"]["lastSynced"] == shown
    assert response.json()["integration"]["last_synced_at"] == "2026-03-01T10:30:00Z"
    assert (await room.stored(created["id"])).watermark == datetime.fromisoformat(watermark)


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {**CONFIG, "url": "https://prod.service-now.com"}},
        {"config": {**CONFIG, "url": "https://dev12345.service-now.com:8443"}},
        {"config": {**MASKED, "table": "problem"}},
        {"config": {**MASKED, "filter": "active=true"}},
        {"config": {**MASKED, "fields": ["u_unit"]}},
        {"service_name": "Jira", "config": MASKED},
        {"service_name": "Other", "config": MASKED},
    ],
)
async def test_another_source_makes_the_next_run_full(room: Room, changes: dict[str, Any]) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z")

    response = await room.put(created["id"], **changes)

    assert response.status_code == 200, response.text
    assert await position(room, created["id"]) == {"watermark": None, "needs_full": True, "revision": 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {**MASKED, "url": "HTTPS://DEV12345.service-now.com:443/"}},
        {"config": {**MASKED, "username": "other"}},
        {"config": {**CONFIG, "password": "another"}},
        {"config": {**MASKED, "page_size": 50}},
        {"config": MASKED, "is_active": False},
        {"config": MASKED, "service_name": "servicenow production"},
        {"config": {**CONFIG, "api_token": "k"}, "auth_type": "api_token"},
    ],
)
async def test_any_other_edit_leaves_the_watermark_alone(room: Room, changes: dict[str, Any]) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z")
    moment = datetime.fromisoformat("2026-03-01T10:30:00Z")

    response = await room.put(created["id"], **changes)

    assert response.status_code == 200, response.text
    assert await position(room, created["id"]) == {"watermark": moment, "needs_full": False, "revision": 2}


async def test_a_time_sent_with_a_new_source_does_not_bring_a_watermark_back(room: Room) -> None:
    created = await room.create()
    await room.synced(created["id"], "2026-03-01T10:30:00Z")
    moved = {**CONFIG, "url": "https://prod.service-now.com", "lastSynced": "2026-03-01T10:30:00Z"}

    await room.put(created["id"], config=moved)
    await room.put(created["id"], config={**moved, "password": MASK})

    assert await position(room, created["id"]) == {"watermark": None, "needs_full": True, "revision": 3}


async def test_edits_raise_the_revision_and_move_updated_at_and_syncs_only_the_latter(room: Room) -> None:
    created = await room.create()
    room.clock.set("2026-03-01T11:00:00Z")

    edited = (await room.put(created["id"])).json()["integration"]
    await room.synced(created["id"], "2026-03-01T12:00:00Z")

    assert [created["updated_at"], edited["updated_at"]] == ["2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z"]
    assert (await room.shown(created["id"]))["updated_at"] == "2026-03-01T12:00:00Z"
    assert (await position(room, created["id"]))["revision"] == 2


async def test_a_schedule_that_is_set_or_ended_is_an_edit(room: Room) -> None:
    created = await room.create()
    path, told = f"/integrations/schedule/{created['id']}", []

    for hour, cron in ((11, "0 6 * * *"), (12, None)):
        room.clock.set(f"2026-03-01T{hour}:00:00Z")
        told.append((await room.send("PUT", path, {"cron": cron})).json()["integration"]["updated_at"])

    assert told == ["2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z"]
    assert (await room.shown(created["id"]))["updated_at"] == told[-1]


async def test_the_record_says_which_keys_changed_and_never_to_what(room: Room) -> None:
    created = await room.create()

    await room.put(created["id"], config={**CONFIG, "username": "other", "password": "n3w-s3cret"}, is_active=False)
    await room.put(created["id"], config={**MASKED, "username": "other"})
    await room.send("DELETE", f"/integrations/delete/{created['id']}")

    rows = await room.rows(
        "SELECT action, object_id, details - 'service_name' AS details FROM audit_entries "
        "WHERE object_type = 'integration' ORDER BY id"
    )
    assert [row["object_id"] for row in rows] == [created["id"]] * 4
    assert [(row["action"], row["details"]) for row in rows] == [
        ("integration.create", {"config_keys": ["password", "url", "username"]}),
        ("integration.update", {"changed": ["is_active"], "config_keys": ["password", "username"]}),
        ("integration.update", {"changed": ["is_active"], "config_keys": []}),
        ("integration.delete", {"purge": False}),
    ]


async def test_a_refused_edit_leaves_no_trace(room: Room) -> None:
    created = await room.create()

    await room.put(created["id"], config={**CONFIG, "lastSynced": "2099-01-01T00:00:00Z"})
    await room.put(created["id"], config={"url": "https://evil.example", "username": "a", "password": MASK})

    assert await room.shown(created["id"]) == created
    assert await room.rows("SELECT 1 FROM audit_entries WHERE action = 'integration.update'") == []


async def test_the_list_is_newest_first_and_complete_unless_pages_are_asked_for(room: Room) -> None:
    names = [f"Service {n}" for n in range(7)]
    for name in names:
        await room.create(service_name=name, config={})

    whole = (await room.send("GET", "/integrations/all")).json()
    pages, cursor = [], None
    for _ in range(4):
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await room.send("GET", "/integrations/all", params=query)).json()
        pages.append([one["service_name"] for one in page["integrations"]])
        cursor = page["next_cursor"]

    listed = [one["service_name"] for one in whole["integrations"]]
    assert sorted(listed) == names
    assert list(whole) == ["success", "integrations"]
    assert [name for page in pages for name in page] == listed
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert cursor is None


async def test_later_ones_come_first(room: Room) -> None:
    for minute in ("01", "03", "02"):
        room.clock.set(f"2026-03-01T09:{minute}:00Z")
        await room.create(service_name=minute, config={})

    listed = (await room.send("GET", "/integrations/all")).json()["integrations"]

    assert [one["service_name"] for one in listed] == ["03", "02", "01"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "cursor=nonsense", "cursor="])
async def test_a_wrong_page_is_refused(room: Room, query: str) -> None:
    response = await room.send("GET", f"/integrations/all?{query}")

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == query.partition("=")[0]
