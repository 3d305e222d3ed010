"""Which old incident was like this one."""

from typing import Any

import pytest

from integrations_api.access.permissions import Permission
from integrations_api.db.engine import Sessions
from tests.search.conftest import Ask
from tests.support.applications import LiveApp
from tests.support.knowledge import build_versions, doc, gone

pytestmark = pytest.mark.anyio

FILLER = {f"FILL{i}": doc(title=f"Request {i}", text="Please order a new chair for the office.") for i in range(20)}
JAM: dict[str, Any] = {"title": "Printer jams", "text": "Paper jam in the second tray of the printer."}


def numbers(answer: Any) -> list[str]:
    return [hit["number"] for hit in answer["hits"]]


async def post(live: LiveApp, body: Any, *, status: int = 200, **query: Any) -> Any:
    headers = await live.credentials([Permission.KNOWLEDGE_VIEW])
    response = await live.client.post("/knowledge/similar", json=body, params=query, headers=headers)
    assert response.status_code == status, response.text
    return response.json()


async def test_the_most_alike_come_first_and_the_incident_itself_does_not(ask: Ask, sessions: Sessions) -> None:
    await build_versions(
        sessions,
        {
            **FILLER,
            "INC1": doc(**JAM),
            "INC2": doc(title="Scanner", text="The printer's second tray is empty."),
            "INC3": doc(title="Printer jams again", text="Another paper jam in the tray.", resolution="New rollers."),
        },
    )

    answer = await ask("incidents/INC1/similar")

    assert numbers(answer) == ["INC3", "INC2"]
    first = answer["hits"][0]
    assert (answer["ranking"], first["resolution"]) == ("lexical", "New rollers.")
    assert {"printer", "jam", "paper"} <= set(first["why"])
    assert first["score"] > answer["hits"][1]["score"] > 0


async def test_letters_whose_accents_come_apart_are_the_same_letters(live: LiveApp, sessions: Sessions) -> None:
    apart, whole = "Sto\u0308rung", "St\u00f6rung"
    await build_versions(sessions, {**FILLER, "INC1": doc(title=apart), "INC2": doc(title=whole)})

    for text in (apart, whole):
        assert numbers(await post(live, {"text": text})) == ["INC1", "INC2"]


@pytest.mark.parametrize(
    ("open_", "resolved"),
    [
        ({"state": "In Progress"}, {"resolved_at": "2026-02-01T00:00:00Z"}),
        ({"state": "Closed", "state_reason_code": "not_planned"}, {"state_reason_code": "completed"}),  # GitHub's
    ],
)
async def test_among_equals_resolved_ones_come_first(
    ask: Ask, sessions: Sessions, open_: dict[str, Any], resolved: dict[str, Any]
) -> None:
    await build_versions(
        sessions, {**FILLER, "INC1": doc(**JAM), "INC2": doc(**JAM, **open_), "INC3": doc(**JAM, **resolved)}
    )

    answer = await ask("incidents/INC1/similar")

    assert numbers(answer) == ["INC3", "INC2"]
    assert answer["hits"][0]["score"] == answer["hits"][1]["score"]


async def test_a_long_incident_needs_no_word_that_all_share(ask: Ask, sessions: Sessions) -> None:
    long = "We tried everything in the manual, page by page, " * 30 + "and still the frobnicator is stuck."
    await build_versions(
        sessions, {**FILLER, "INC1": doc(title="Help", text=long), "INC2": doc(title="Frobnicator", text="Stuck.")}
    )

    assert numbers(await ask("incidents/INC1/similar")) == ["INC2"]


async def test_tombstones_are_not_similar_to_anything(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, {**FILLER, "INC1": doc(**JAM), "INC2": doc(**JAM)}, {"INC2": gone()})

    assert numbers(await ask("incidents/INC1/similar")) == []


async def test_an_older_version_finds_what_was_similar_then(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(sessions, {**FILLER, "INC1": doc(**JAM), "INC2": doc(**JAM)})
    before = await ask("incidents/INC1/similar")
    await story.version({"INC1": doc(title="Chair broken", text="The office chair"), "INC3": doc(**JAM)})

    assert await ask("incidents/INC1/similar", version=1) == before
    assert numbers(before) == ["INC2"]
    assert "INC3" not in numbers(await ask("incidents/INC1/similar"))


async def test_other_datasets_are_searched_too_unless_one_is_named(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(sessions, {**FILLER, "INC1": doc(**JAM), "INC2": doc(**JAM)})
    await build_versions(sessions, {"OTHER1": doc(**JAM)}, service_name="ServiceNow EU")

    assert sorted(numbers(await ask("incidents/INC1/similar"))) == ["INC2", "OTHER1"]
    assert numbers(await ask("incidents/INC1/similar", integration=story.dataset_id)) == ["INC2"]


async def test_an_unknown_incident_is_not_found(ask: Ask) -> None:
    assert (await ask("incidents/INC404/similar", status=404))["message"] == "Incident not found"


async def test_the_text_of_a_new_incident_finds_old_ones(live: LiveApp, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {
            **FILLER,
            "INC1": doc(title="Scanner", text="It scans a mailbox."),
            "INC2": doc(title="Mailbox full", text="Quota reached.", resolution="Archived."),
        },
    )
    text = "mailbox\nSince today no mail reaches me, a quota it says; what can I do about it?"

    answer = await post(live, {"text": text, "integration": str(story.dataset_id), "limit": 1})

    assert numbers(answer) == ["INC2"]
    assert {"mailbox", "quota"} <= set(answer["hits"][0]["why"])
    assert answer["hits"][0]["resolution"] == "Archived."


async def test_a_text_can_be_asked_about_in_an_older_version(live: LiveApp, sessions: Sessions) -> None:
    story = await build_versions(sessions, {**FILLER, "INC1": doc(**JAM)}, {"INC1": gone(), "INC2": doc(**JAM)})
    body = {"text": "The paper jams in the printer", "integration": str(story.dataset_id)}

    then, now = await post(live, {**body, "version": 1}), await post(live, body)

    assert (numbers(then), numbers(now)) == (["INC1"], ["INC2"])
    assert {hit["version"] for hit in then["hits"]} == {1}
    await post(live, {**body, "version": 3}, status=404)


async def test_version_and_integration_are_asked_for_in_the_url_too_as_on_every_other_route(
    live: LiveApp, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {**FILLER, "INC1": doc(**JAM)}, {"INC1": gone(), "INC2": doc(**JAM)})
    await build_versions(sessions, {"OTHER1": doc(**JAM)}, service_name="ServiceNow EU")
    body = {"text": "The paper jams in the printer"}

    then = await post(live, body, integration=story.dataset_id, version=1)
    now = await post(live, {**body, "integration": str(story.dataset_id), "version": 1}, version=2)

    assert (numbers(then), numbers(now)) == (["INC1"], ["INC2"])
    assert "version" in (await post(live, body, version=1, status=422))["message"]
    assert "version" in (await post(live, body, version="first", status=422))["message"]
    assert sorted(numbers(await post(live, body))) == ["INC2", "OTHER1"]


@pytest.mark.parametrize("text", ["the and of", "!!! ???", "-- or --", "\\ ' \" :*"])
async def test_a_text_that_says_nothing_is_told_so(live: LiveApp, sessions: Sessions, text: str) -> None:
    await build_versions(sessions, FILLER)

    answer = await post(live, {"text": text})

    assert answer["hits"] == []
    assert "nothing to look for" in answer["message"]


async def test_a_text_of_100_kb_is_searched_by_its_telling_words(live: LiveApp, sessions: Sessions) -> None:
    await build_versions(sessions, {**FILLER, "INC1": doc(title="Frobnicator", text="Stuck.")})
    text = "frobnicator " + "chair " + " ".join(f"unheard{i} word{i}" for i in range(6000))

    answer = await post(live, {"text": text, "limit": 3})

    assert numbers(answer)[0] == "INC1"


async def test_a_limit_may_be_that_of_any_list_and_gives_a_hundred_at_most(
    live: LiveApp, ask: Ask, sessions: Sessions
) -> None:
    await build_versions(sessions, {**FILLER, **{f"INC{i}": doc(**JAM) for i in range(120)}})

    by_text = await post(live, {"text": "paper jam", "limit": 1000})
    by_number = await ask("incidents/INC1/similar", limit=1000)

    assert (len(by_text["hits"]), len(by_number["hits"])) == (100, 100)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": "  \n "}, "text"),
        ({"text": "a\0b"}, "NUL"),
        ({"text": 5}, "text"),
        ({}, "text"),
        ({"text": "x", "limit": 0}, "limit"),
        ({"text": "x", "limit": 1001}, "limit"),
        ({"text": "x", "integration": "y"}, "integration"),
    ],
)
async def test_a_request_that_cannot_be_one_is_refused_with_words(live: LiveApp, body: Any, field: str) -> None:
    assert field in (await post(live, body, status=422))["message"]
