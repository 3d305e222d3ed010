"""The history of one incident."""

from datetime import timedelta

import pytest

from integrations_api.db.engine import Sessions
from integrations_api.knowledge import repository
from tests.knowledge.conftest import Api
from tests.support.knowledge import EPOCH, build_versions, doc, gone, touched

pytestmark = pytest.mark.anyio

LATER = EPOCH + timedelta(hours=1)


async def test_history_tells_what_changed_when_and_why(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"INC1": doc()},
        {"INC1": doc(state="Closed", title="Mail was down", updated=LATER)},
        {"INC1": touched(LATER + timedelta(hours=1))},
        {"INC1": gone("archived")},
        {"INC1": doc(state="Closed", title="Mail was down", updated=LATER)},
    )

    answer = await api.get("/knowledge/incidents/INC1/history")

    assert (answer["id"], answer["version"]) == (str(story.id("INC1")), 5)
    assert [(e["version"], e["change"], e["reason"], e["fields"]) for e in answer["history"]] == [
        (5, "added", None, []),
        (4, "deleted", "archived", []),
        (2, "updated", None, ["title", "attributes.state"]),
        (1, "added", None, []),
    ]
    assert answer["history"][2]["at"] == "2026-03-01T10:02:00Z"
    assert answer["history"][2]["title"] == "Mail was down"
    assert answer["history"][2]["source_updated_at"] == "2026-03-01T11:00:00Z"


async def test_history_compares_across_a_touch(api: Api, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": doc()}, {"INC1": touched(LATER)}, {"INC1": doc(priority="1")})

    history = (await api.get("/knowledge/incidents/INC1/history"))["history"]

    assert [(entry["version"], entry["fields"]) for entry in history] == [(3, ["attributes.priority"]), (1, [])]


async def test_history_tells_a_new_mapping_from_news_of_the_source(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({"INC1": doc(priority="1")}, kind="remap")

    history = (await api.get("/knowledge/incidents/INC1/history"))["history"]

    assert [(entry["change"], entry["kind"]) for entry in history] == [("updated", "remap"), ("added", "sync")]


async def test_history_as_of_a_version_ends_there(api: Api, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": doc()}, {"INC2": doc()}, {"INC1": doc(state="Closed")})

    answer = await api.get("/knowledge/incidents/INC1/history", version=2)

    assert (answer["version"], [entry["version"] for entry in answer["history"]]) == (2, [1])


async def test_history_of_a_building_version_is_not_told_by_the_head(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({"INC1": doc(state="Closed")}, state="building")

    assert [e["version"] for e in (await api.get("/knowledge/incidents/INC1/history"))["history"]] == [1]


async def test_history_comes_in_pages_that_know_their_neighbours(api: Api, sessions: Sessions) -> None:
    await build_versions(sessions, *({"INC1": doc(state=str(i))} for i in range(5)))

    pages = await api.pages("/knowledge/incidents/INC1/history", limit=2)

    entries = [entry for page in pages for entry in page["history"]]
    assert [entry["version"] for entry in entries] == [5, 4, 3, 2, 1]
    assert [entry["fields"] for entry in entries] == [["attributes.state"]] * 4 + [[]]


async def test_a_history_goes_on_though_its_number_has_become_another_incidents(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, *({"old": doc("INC1", state=str(i)), "new": doc("INC2")} for i in range(3)))
    path = "/knowledge/incidents/INC1/history"
    first = await api.get(path, limit=2)
    await story.version({"old": doc("INC9"), "new": doc("INC1")})

    rest = await api.get(path, limit=2, cursor=first["next_cursor"])

    assert (rest["id"], [entry["version"] for entry in rest["history"]]) == (str(story.id("old")), [1])
    assert (await api.get(path))["id"] == str(story.id("new"))
    assert "cursor" in (await api.get(path, cursor="WzFd", status=422))["message"]


async def test_a_page_of_the_history_of_a_large_incident_ends_early(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_versions(sessions, *({"INC1": doc(text=sign * 1000)} for sign in "abcdef"))

    for most_bytes, pages_of in ((2500, [2, 2, 2]), (0, [1, 1, 1, 1, 2]), (30_000_000, [6])):
        monkeypatch.setattr(repository, "MOST_BYTES", most_bytes)

        pages = await api.pages("/knowledge/incidents/INC1/history", limit=1000)

        entries = [entry for page in pages for entry in page["history"]]
        assert [len(page["history"]) for page in pages] == pages_of
        assert [entry["version"] for entry in entries] == [6, 5, 4, 3, 2, 1]
        assert [entry["fields"] for entry in entries] == [["text"]] * 5 + [[]]
