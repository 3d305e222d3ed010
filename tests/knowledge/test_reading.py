"""What readers see of datasets, versions and incidents."""

import json
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from integrations_api.connectors.records import Note
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import repository, schemas
from integrations_api.knowledge.datasets import save_verdict
from tests.knowledge.conftest import Api
from tests.support.knowledge import EPOCH, Story, begin_story, build_versions, doc, gone, touched

pytestmark = pytest.mark.anyio

LATER = EPOCH + timedelta(hours=1)


def path_of(story: Story, version: int, rest: str = "/incidents") -> str:
    return f"/knowledge/datasets/{story.dataset_id}/versions/{version}{rest}"


def told(incidents: list[dict[str, object]]) -> dict[object, object]:
    """Titles by number."""
    return {incident["number"]: incident["title"] for incident in incidents}


async def test_a_version_reads_the_same_for_ever(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="one"), "INC2": doc(title="two")})
    before = await api.get(path_of(story, 1))

    await story.version({"INC1": doc(title="one, rewritten"), "INC3": doc(title="three")})
    await story.version({"INC2": gone()})

    assert await api.get(path_of(story, 1)) == before
    assert told(before["incidents"]) == {"INC1": "one", "INC2": "two"}
    assert told((await api.get(path_of(story, 2)))["incidents"]) == {
        "INC1": "one, rewritten", "INC2": "two", "INC3": "three",
    }  # fmt: skip
    assert told((await api.get(path_of(story, 3)))["incidents"]) == {"INC1": "one, rewritten", "INC3": "three"}


async def test_an_incident_has_the_shape_that_is_promised(api: Api, sessions: Sessions) -> None:
    note = Note(at="2026-03-01T09:58:10Z", author="Beth Anglin", kind="work_notes", text="Restarted it.")
    story = await build_versions(
        sessions,
        {"id-1": doc("INC1", title="Mail", text="It is down.", notes=[note], url="https://x.example/1", priority="1")},
    )

    answer = await api.get("/knowledge/incidents/INC1")

    assert answer == {
        "success": True,
        "state": "published",
        "incident": {
            "id": str(story.id("id-1")),
            "number": "INC1",
            "external_id": "id-1",
            "integration_id": str(story.dataset_id),
            "title": "Mail",
            "text": "It is down.",
            "notes": [
                {"at": "2026-03-01T09:58:10Z", "author": "Beth Anglin", "kind": "work_notes", "text": "Restarted it."}
            ],
            "attributes": {"state": "New", "priority": "1"},
            "url": "https://x.example/1",
            "source_updated_at": "2026-03-01T10:00:00Z",
            "synced_at": "2026-03-01T10:01:00Z",
            "version": 1,
            "change": "added",
            "changed_in": 1,
        },
    }


async def test_keys_stand_in_the_order_that_is_published_whatever_the_database_made_of_it(
    api: Api, sessions: Sessions
) -> None:
    note = Note(at="2026-03-01T09:58:10Z", author="Beth Anglin", kind="work_notes", text="Restarted it.")
    story = await build_versions(sessions, {"INC1": doc(notes=[note])})
    verdict = {"state": "complete", "source": 1, "stored": 1, "rejected": 0, "hidden": 0, "why": None, "ids": None}
    async with sessions() as session, session.begin():
        await save_verdict(session, dataset_id=story.dataset_id, verdict=dict(verdict))

    incident = (await api.get("/knowledge/incidents/INC1"))["incident"]
    dataset = (await api.get(f"/knowledge/datasets/{story.dataset_id}"))["dataset"]

    assert list(incident["notes"][0]) == ["at", "author", "kind", "text"]
    assert list(dataset["verdict"]) == list(verdict)


async def test_a_touch_moves_the_stamps_and_is_not_the_last_change(api: Api, sessions: Sessions) -> None:
    await build_versions(
        sessions,
        {"INC1": doc()},
        {"INC1": doc(state="Closed")},
        {"INC1": touched(LATER)},
        {"INC1": touched(LATER + timedelta(hours=1))},
    )

    now = (await api.get("/knowledge/incidents/INC1"))["incident"]
    then = (await api.get("/knowledge/incidents/INC1", version=3))["incident"]

    assert (now["change"], now["changed_in"], now["version"]) == ("updated", 2, 4)
    assert (now["source_updated_at"], now["synced_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T10:04:00Z")
    assert (then["change"], then["changed_in"], then["version"]) == ("updated", 2, 3)
    assert (then["source_updated_at"], then["synced_at"]) == ("2026-03-01T11:00:00Z", "2026-03-01T10:03:00Z")


async def test_what_is_gone_leaves_the_listing_and_keeps_its_reason(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC2": gone("archived")})

    listed = (await api.get(path_of(story, 2)))["incidents"]
    with_tombstones = (await api.get(path_of(story, 2), include="tombstones"))["incidents"]
    alone = (await api.get("/knowledge/incidents/INC2"))["incident"]

    assert [incident["number"] for incident in listed] == ["INC1"]
    assert [(i["number"], i["change"]) for i in with_tombstones] == [("INC1", "added"), ("INC2", "deleted")]
    assert (alone["change"], alone["reason"], alone["changed_in"]) == ("deleted", "archived", 2)
    assert "reason" not in listed[0]


async def test_an_incident_that_comes_back_is_added_again(api: Api, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": doc()}, {"INC1": gone()}, {"INC1": doc()}, {"INC1": touched(LATER)})

    incident = (await api.get("/knowledge/incidents/INC1"))["incident"]

    assert (incident["change"], incident["changed_in"]) == ("added", 3)


async def test_pages_go_on_between_incidents_that_share_a_number(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {f"id-{i}": doc("SAME" if i < 5 else f"Z{i}") for i in range(7)})

    pages = await api.pages(path_of(story, 1), limit=2)

    seen = [incident["external_id"] for page in pages for incident in page["incidents"]]
    assert sorted(seen) == [f"id-{i}" for i in range(7)]
    assert seen[5:] == ["id-5", "id-6"]


async def test_numbers_are_sorted_by_their_bytes(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {n: doc() for n in ("b", "B", "a-1", "a_1", "é", "10", "9")})

    listed = (await api.get(path_of(story, 1)))["incidents"]

    assert [incident["number"] for incident in listed] == ["10", "9", "B", "a-1", "a_1", "b", "é"]


async def test_a_building_version_is_read_by_its_number_only(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="old")})
    await story.version({"INC1": doc(title="new"), "INC2": doc()}, state="building")

    building = await api.get(path_of(story, 2))
    one = await api.get("/knowledge/incidents/INC1", version=2)
    head = await api.get("/knowledge/incidents/INC1")

    assert (building["state"], told(building["incidents"])["INC1"]) == ("building", "new")
    assert (one["state"], one["incident"]["title"], one["incident"]["version"]) == ("building", "new", 2)
    assert one["incident"]["synced_at"] == "2026-03-01T10:01:40Z"
    assert (head["state"], head["incident"]["title"]) == ("published", "old")
    await api.get("/knowledge/incidents/INC2", status=404)


async def test_a_held_version_is_read_and_an_abandoned_one_is_not(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({}, state="abandoned")
    await story.version({"INC1": gone()}, state="held")

    listed = await api.get(f"/knowledge/datasets/{story.dataset_id}/versions")
    gone_for_good = await api.get(path_of(story, 2, ""), status=404)

    assert [(v["number"], v["state"]) for v in listed["versions"]] == [(3, "held"), (1, "published")]
    assert (await api.get(path_of(story, 3)))["incidents"] == []
    assert gone_for_good["message"] == "Version 2 was abandoned before it was published: there is nothing to read in it"
    assert (await api.get(path_of(story, 9), status=404))["message"] == "There is no version 9"


async def test_versions_come_newest_first_in_pages(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc()}, {"INC2": doc()}, {"INC1": gone(), "INC2": doc(state="Closed")}
    )
    path = f"/knowledge/datasets/{story.dataset_id}/versions"

    first = await api.get(path, limit=2)
    second = await api.get(path, limit=2, cursor=first["next_cursor"])

    assert [v["number"] for v in first["versions"] + second["versions"]] == [3, 2, 1]
    assert second["next_cursor"] is None
    newest = first["versions"][0]
    assert (newest["added"], newest["updated"], newest["deleted"], newest["documents"]) == (0, 1, 1, 1)
    assert (newest["parent"], newest["kind"], newest["published_at"]) == (2, "sync", "2026-03-01T10:03:00Z")


async def test_a_dataset_without_integration_says_so(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(), "INC2": doc()}, {"INC2": gone()})

    (dataset,) = (await api.get("/knowledge/datasets"))["datasets"]

    assert dataset == {
        "integration_id": str(story.dataset_id),
        "integration_deleted": True,
        "service_name": "ServiceNow",
        "head": 2,
        "documents": 1,
        "tombstones": 1,
        "verdict": None,
    }
    assert (await api.get(f"/knowledge/datasets/{story.dataset_id}"))["dataset"] == {**dataset, "embedded": None}


async def test_a_dataset_before_its_first_version_has_no_head(api: Api, sessions: Sessions) -> None:
    story = await begin_story(sessions)
    await story.version({"INC1": doc()}, state="building")

    dataset = (await api.get(f"/knowledge/datasets/{story.dataset_id}"))["dataset"]

    assert (dataset["head"], dataset["documents"]) == (None, 0)
    await api.get("/knowledge/incidents/INC1", status=404)


@pytest.mark.parametrize("number", ["owner/repo#45", "INC 1", "a/b/c", "50%", "ÄÖ?x=1", str(UUID(int=7))])
async def test_a_number_may_hold_any_character(api: Api, sessions: Sessions, number: str) -> None:
    await build_versions(sessions, {"id-1": doc(number)}, {"id-1": doc(number, state="Closed")})
    path = f"/knowledge/incidents/{quote(number, safe='')}"

    incident = (await api.get(path))["incident"]
    before = (await api.get(path, version=1))["incident"]
    history = (await api.get(path + "/history"))["history"]

    assert incident["number"] == before["number"] == number
    assert [entry["version"] for entry in history] == [2, 1]


async def test_an_incident_is_found_by_its_id_under_any_number(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"id-1": doc("OLD1")}, {"id-1": doc("NEW1")})
    path = f"/knowledge/incidents/{story.id('id-1')}"

    assert (await api.get(path))["incident"]["number"] == "NEW1"
    assert (await api.get(path, version=1))["incident"]["number"] == "OLD1"
    await api.get("/knowledge/incidents/OLD1", status=404)
    assert (await api.get("/knowledge/incidents/OLD1", version=1))["incident"]["id"] == str(story.id("id-1"))


async def test_a_number_in_several_datasets_is_a_conflict_that_lists_them(api: Api, sessions: Sessions) -> None:
    one = await build_versions(sessions, {"INC1": doc(title="one")})
    two = await build_versions(sessions, {"INC1": doc(title="two")}, {"INC2": doc()}, service_name="ServiceNow EU")

    conflict = await api.get("/knowledge/incidents/INC1", status=409)
    as_of = await api.get("/knowledge/incidents/INC1", status=409, version=1)

    for message in (conflict["message"], as_of["message"]):
        assert f"{one.dataset_id} (ServiceNow)" in message
        assert f"{two.dataset_id} (ServiceNow EU)" in message
    narrowed = await api.get("/knowledge/incidents/INC1", integration=str(two.dataset_id))
    assert narrowed["incident"]["title"] == "two"
    assert (await api.get("/knowledge/incidents/INC2", version=2))["incident"]["number"] == "INC2"


@pytest.mark.parametrize("state", ["building", "held"])
async def test_a_first_load_that_is_not_published_takes_no_number_from_another_dataset(
    api: Api, sessions: Sessions, state: str
) -> None:
    one = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    other = await begin_story(sessions)
    await other.version({"INC1": doc(), "INC2": doc()}, state=state)

    answer = await api.get("/knowledge/incidents/INC1", version=1)
    of_the_load = await api.get("/knowledge/incidents/INC2", version=1)

    assert answer["incident"]["integration_id"] == str(one.dataset_id)
    assert (await api.get("/knowledge/incidents/INC1/history", version=1))["id"] == answer["incident"]["id"]
    assert (of_the_load["state"], of_the_load["incident"]["integration_id"]) == (state, str(other.dataset_id))


async def test_a_number_that_two_incidents_share_is_a_conflict_that_lists_their_ids(
    api: Api, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"id-1": doc("INC1"), "id-2": doc("INC1")}, {"id-2": gone()})

    conflict = await api.get("/knowledge/incidents/INC1", status=409, version=1)

    assert str(story.id("id-1")) in conflict["message"]
    assert str(story.id("id-2")) in conflict["message"]
    # One that lives goes before a tombstone.
    assert (await api.get("/knowledge/incidents/INC1"))["incident"]["external_id"] == "id-1"


async def test_what_does_not_exist_is_not_found(api: Api, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": doc()})
    unknown = uuid4()

    assert (await api.get("/knowledge/incidents/INC9", status=404))["message"] == "Incident not found"
    assert (await api.get(f"/knowledge/incidents/{unknown}", status=404))["message"] == "Incident not found"
    assert (await api.get("/knowledge/incidents/INC9/history", status=404))["message"] == "Incident not found"
    assert (await api.get(f"/knowledge/datasets/{unknown}", status=404))["message"] == "Dataset not found"
    for rest in ("/versions", "/versions/1", "/versions/1/incidents", "/versions/1/diff", "/versions/1/export"):
        assert (await api.get(f"/knowledge/datasets/{unknown}{rest}", status=404))["message"] == "Dataset not found"
    answer = await api.get("/knowledge/incidents/INC1", status=404, integration=str(unknown))
    assert answer["message"] == "Dataset not found"
    assert (await api.get("/knowledge/incidents/INC1", status=404, version=7))["message"] == "There is no version 7"


async def test_wrong_input_is_named(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    listing = path_of(story, 1)

    assert "limit" in (await api.get(listing, status=422, limit=1001))["message"]
    assert "cursor" in (await api.get(listing, status=422, cursor="xyz"))["message"]
    assert "n:" in (await api.get(path_of(story, 2**31), status=422))["message"]
    assert "include" in (await api.get(listing, status=422, include="ghosts"))["message"]
    assert "version" in (await api.get("/knowledge/incidents/INC1", status=422, version="latest"))["message"]


async def test_reading_needs_the_permission_to_view(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    paths = ["/knowledge/datasets", f"/knowledge/datasets/{story.dataset_id}", "/knowledge/incidents/INC1"]
    paths += [f"/knowledge/datasets/{story.dataset_id}/versions", path_of(story, 1, "")]
    paths += [path_of(story, 1, rest) for rest in ("/incidents", "/diff", "/export")]
    paths += ["/knowledge/incidents/INC1/history"]

    for path in paths:
        assert (await api.raw(path, caller="viewer")).status_code == 200, path
        assert (await api.get(path, status=403, caller="nobody"))["message"] == "Missing permission: knowledge.view"
        assert (await api.raw(path, caller="stranger")).status_code == 401


async def test_answers_are_what_the_description_says(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"INC1": doc(text="word " * 40), "INC2": doc(), "INC3": doc(url="https://x.example/3")},
        {"INC1": doc(text="word " * 39 + "other"), "INC2": gone("archived"), "INC4": doc()},
    )
    answers: dict[str, type[BaseModel]] = {
        "/knowledge/datasets": schemas.DatasetsAnswer,
        f"/knowledge/datasets/{story.dataset_id}": schemas.DatasetAnswer,
        f"/knowledge/datasets/{story.dataset_id}/versions": schemas.VersionsAnswer,
        path_of(story, 2, ""): schemas.VersionAnswer,
        path_of(story, 2, "/incidents?include=tombstones"): schemas.IncidentsAnswer,
        path_of(story, 2, "/diff"): schemas.DiffAnswer,
        "/knowledge/incidents/INC2": schemas.IncidentAnswer,
        "/knowledge/incidents/INC1/history": schemas.HistoryAnswer,
    }
    for path, model in answers.items():
        body = await api.get(path)

        assert model.model_validate(body).model_dump(mode="json", exclude_unset=True) == body


def test_examples_are_what_the_description_says() -> None:
    for name, model in vars(schemas).items():
        if name.endswith("Answer"):
            example = model.model_config["json_schema_extra"]["example"]

            assert model.model_validate(example).model_dump(mode="json", exclude_unset=True) == example


async def test_a_page_of_large_incidents_ends_early_and_an_export_has_them_all(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [f"INC{n}" for n in range(1, 8)]
    story = await build_versions(sessions, {number: doc(text="x" * 1000) for number in numbers})
    monkeypatch.setattr(repository, "MOST_BYTES", 2500)

    pages = await api.pages(path_of(story, 1), limit=1000)
    export = await api.raw(path_of(story, 1, "/export"))

    assert [[incident["number"] for incident in page["incidents"]] for page in pages] == [
        numbers[:3], numbers[3:6], numbers[6:],
    ]  # fmt: skip
    assert [json.loads(line)["number"] for line in export.text.splitlines()] == numbers
