"""Comparing two versions."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from integrations_api.connectors.records import Note
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import repository, service
from integrations_api.knowledge.diffing import DiffPage, DiffQuestion, difference
from integrations_api.knowledge.service import KnowledgeService
from tests.knowledge.conftest import Api
from tests.support.knowledge import EPOCH, Story, build_versions, doc, gone, touched

pytestmark = pytest.mark.anyio


def path_of(story: Story, version: int) -> str:
    return f"/knowledge/datasets/{story.dataset_id}/versions/{version}/diff"


def told(diff: dict[str, Any]) -> dict[str, str]:
    """Kinds of change by number."""
    return {change["number"]: change["change"] for change in diff["changes"]}


async def test_a_diff_has_the_shape_that_is_promised(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"INC1": doc(), "INC2": doc(), "INC3": doc()},
        {"INC1": doc(state="Closed"), "INC3": gone("archived"), "INC4": doc()},
    )

    diff = await api.get(path_of(story, 2), base=1)

    title = "Mail is down"
    assert diff == {
        "success": True,
        "base": 1,
        "version": 2,
        "counts": {"added": 1, "changed": 1, "removed": 1},
        "matching": 3,
        "changes": [
            {
                "number": "INC1", "id": str(story.id("INC1")), "change": "changed", "reason": None, "title": title,
                "fields": [{"field": "attributes.state", "before": "New", "after": "Closed"}],
            },
            {
                "number": "INC3", "id": str(story.id("INC3")), "change": "removed", "reason": "archived",
                "title": title, "fields": [],
            },
            {
                "number": "INC4", "id": str(story.id("INC4")), "change": "added", "reason": None, "title": title,
                "fields": [],
            },
        ],
        "next_cursor": None,
    }  # fmt: skip


async def test_the_base_is_the_version_before_unless_another_is_given(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC2": doc()})
    await story.version({}, state="abandoned")
    await story.version({"INC3": doc()})

    assert (await api.get(path_of(story, 4)))["base"] == 2
    assert told(await api.get(path_of(story, 4), base=1)) == {"INC2": "added", "INC3": "added"}
    first = await api.get(path_of(story, 1))
    assert (first["base"], told(first)) == (0, {"INC1": "added"})
    assert "abandoned" in (await api.get(path_of(story, 4), base=3, status=404))["message"]
    assert (await api.get(path_of(story, 4), base=9, status=404))["message"] == "There is no version 9"


async def test_a_diff_reads_the_same_backwards(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc(), "INC2": doc()}, {"INC1": doc(state="Closed")}, {"INC2": gone(), "INC3": doc()}
    )

    back = await api.get(path_of(story, 1), base=3)

    assert told(back) == {"INC1": "changed", "INC2": "added", "INC3": "removed"}
    assert back["changes"][0]["fields"] == [{"field": "attributes.state", "before": "Closed", "after": "New"}]
    assert back["changes"][2]["reason"] is None


async def test_what_was_changed_and_put_back_does_not_differ(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {"INC1": doc(), "INC2": doc(), "INC3": doc()},
        {"INC1": doc(state="Closed"), "INC2": gone(), "INC4": doc()},
        {"INC1": doc(), "INC2": doc(), "INC4": gone(), "INC3": touched(EPOCH + timedelta(hours=1))},
    )

    diff = await api.get(path_of(story, 3), base=1)

    assert (diff["counts"], diff["changes"]) == ({"added": 0, "changed": 0, "removed": 0}, [])
    assert (await api.get(path_of(story, 1), base=3))["changes"] == []
    assert (await api.get(path_of(story, 2), base=2))["changes"] == []


async def test_two_tombstones_do_not_differ_whatever_lay_between(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc()}, {"INC1": gone("archived")}, {"INC1": doc(state="Closed")}, {"INC1": gone("deleted")}
    )

    assert (await api.get(path_of(story, 4), base=2))["changes"] == []


async def test_what_was_removed_has_the_title_that_it_had_in_the_base(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(title="Later")}, {"INC1": gone()})

    (change,) = (await api.get(path_of(story, 3), base=1))["changes"]

    assert (change["change"], change["title"]) == ("removed", "Mail is down")


async def test_a_new_number_and_new_notes_are_changes(api: Api, sessions: Sessions) -> None:
    note = Note(at="2026-03-01T09:58:10Z", author="Beth", kind="work_notes", text="Restarted.")
    story = await build_versions(
        sessions, {"id-1": doc("INC1"), "id-2": doc("INC2")}, {"id-1": doc("INC9"), "id-2": doc("INC2", notes=[note])}
    )

    changes = (await api.get(path_of(story, 2)))["changes"]

    assert [(change["number"], [field["field"] for field in change["fields"]]) for change in changes] == [
        ("INC2", ["notes"]),
        ("INC9", ["number"]),
    ]
    assert changes[0]["fields"][0]["after"][0]["text"] == "Restarted."


async def test_long_texts_come_word_by_word(api: Api, sessions: Sessions) -> None:
    before = "The connection drops every few minutes since the client was updated, on every laptop of the floor."
    story = await build_versions(
        sessions, {"INC1": doc(text=before)}, {"INC1": doc(text=before.replace("few", "five"))}
    )

    (field,) = (await api.get(path_of(story, 2)))["changes"][0]["fields"]

    assert field["field"] == "text"
    assert [(piece["op"], piece["text"]) for piece in field["segments"][1:3]] == [
        ("delete", "few "),
        ("insert", "five "),
    ]


async def test_filters_choose_kinds_and_fields_and_leave_the_counts(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {f"INC{i}": doc(points=3) for i in range(1, 6)},
        {
            "INC1": doc(state="Closed", points=3.0),
            "INC2": doc(title="New title", points=3),
            "INC3": doc(group="Network", url="https://x.example/3", points=3),
            "INC4": gone(),
            "INC6": doc(),
        },
    )
    path = path_of(story, 2)

    async def chosen(**filters: Any) -> list[str]:
        diff = await api.get(path, **filters)
        assert diff["counts"] == {"added": 1, "changed": 3, "removed": 1}
        assert diff["matching"] == len(diff["changes"])
        return [change["number"] for change in diff["changes"]]

    assert await chosen(change="added") == ["INC6"]
    assert await chosen(change=["added", "removed"]) == ["INC4", "INC6"]
    assert await chosen(field="attributes.state") == await chosen(field="attributes.points") == ["INC1"]
    assert await chosen(field=["title", "attributes.group"]) == ["INC2", "INC3"]
    assert await chosen(field="attributes") == ["INC1", "INC3"]
    assert await chosen(field="url") == ["INC3"]
    assert await chosen(field="number") == []
    assert await chosen(field="title", change="added") == []
    assert await chosen(field='attributes.it\'s "quoted"') == []
    for no_field in ("colour", "attributes."):
        assert "field" in (await api.get(path, field=no_field, status=422))["message"]
    assert "change" in (await api.get(path, change="moved", status=422))["message"]


async def test_pages_of_a_diff_go_on_between_incidents_that_share_a_number(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {f"id-{i}": doc("SAME") for i in range(5)},
        {f"id-{i}": doc("SAME", state="Closed") for i in range(5)} | {"z": doc()},
    )

    pages = await api.pages(path_of(story, 2), limit=2)

    assert [page["counts"] for page in pages] == [{"added": 1, "changed": 5, "removed": 0}] * 3
    ids = [change["id"] for page in pages for change in page["changes"]]
    assert len(ids) == len(set(ids)) == 6
    assert ids[-1] == str(story.id("z"))


async def test_a_page_of_large_changes_ends_early(
    api: Api, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [f"INC{n}" for n in range(1, 6)]
    before, after = ({number: doc(text=sign * 1000) for number in numbers} for sign in "xy")
    story = await build_versions(sessions, before, after)
    monkeypatch.setattr(repository, "MOST_BYTES", 2500)

    for limit in (1000, 5, 1):
        pages = await api.pages(path_of(story, 2), limit=limit)

        told = [[change["number"] for change in page["changes"]] for page in pages]
        assert told == ([numbers[:2], numbers[2:4], numbers[4:]] if limit > 1 else [[number] for number in numbers])
        assert {(page["counts"]["changed"], page["matching"]) for page in pages} == {(5, 5)}


async def test_a_page_beyond_the_last_change_still_has_counts(api: Api, sessions: Sessions) -> None:
    story = await build_versions(
        sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")}, {"INC0": doc(), "INC1": doc()}
    )
    cursor = (await api.get(path_of(story, 3), limit=1))["next_cursor"]

    page = await api.get(path_of(story, 2), cursor=cursor, change="changed", field="title")

    assert (page["counts"], page["changes"], page["matching"]) == ({"added": 0, "changed": 1, "removed": 0}, [], 0)


async def test_a_building_version_is_compared_with_the_head(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({"INC1": doc(state="Closed")}, state="building")

    assert told(await api.get(path_of(story, 2))) == {"INC1": "changed"}


async def test_no_more_than_three_diffs_hold_connections_at_once(
    knowledge: KnowledgeService, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC1": doc(state="Closed")})
    at_once: list[int] = []
    going_on = 0

    async def counted(*asked: Any) -> DiffPage:
        nonlocal going_on
        going_on += 1
        at_once.append(going_on)
        found = await difference(*asked)
        going_on -= 1
        return found

    monkeypatch.setattr(service, "difference", counted)
    question = DiffQuestion(dataset_id=story.dataset_id, version=2)
    answers = await asyncio.gather(*(knowledge.diff(question) for _ in range(12)))

    assert [len(answer.changes) for answer in answers] == [1] * 12
    assert max(at_once) <= 3
