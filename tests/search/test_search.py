"""What a query finds, in what order, and how it is told."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations_api.access.permissions import Permission
from integrations_api.connectors.records import Note
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import pruning
from integrations_api.search import cursors
from integrations_api.search.service import Question, SearchService
from tests.search.conftest import Ask
from tests.support.applications import LiveApp
from tests.support.knowledge import build_versions, doc, gone

pytestmark = pytest.mark.anyio

FILLER = {f"FILL{i}": doc(title="Something else", text="Nothing of interest here.") for i in range(20)}


def numbers(answer: Any) -> list[str]:
    return [hit["number"] for hit in answer["hits"]]


async def test_a_hit_carries_all_that_is_needed_to_cite_it(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        FILLER,
        {
            "INC1": doc(
                title="VPN drops",
                text="The tunnel drops every few minutes.",
                url="https://source/1",
                resolution="Rolled back the client.",
            )
        },
    )

    answer = await ask("search", q="vpn dropping")

    (hit,) = answer["hits"]
    assert (answer["ranking"], answer["matching"], answer["next_cursor"]) == ("lexical", "all", None)
    assert hit == {
        "number": "INC1",
        "id": str(story.id("INC1")),
        "integration_id": str(story.dataset_id),
        "title": "VPN drops",
        "snippet": "The tunnel <mark>drops</mark> every few minutes.",
        "score": hit["score"],
        "why": ["dropping", "vpn"],
        "attributes": {"state": "New", "resolution": "Rolled back the client."},
        "resolution": "Rolled back the client.",
        "version": 2,
        "url": "https://source/1",
        "source_updated_at": "2026-03-01T10:00:00Z",
        "synced_at": "2026-03-01T10:02:00Z",
        "is_deleted": False,
    }
    assert hit["score"] > 0


async def test_an_exact_number_comes_first_in_any_case(ask: Ask, sessions: Sessions) -> None:
    await build_versions(
        sessions,
        {
            "INC0010023": doc(title="Printer"),
            "INC2": doc(title="INC0010023 INC0010023", text="Same as INC0010023, INC0010023"),
        },
    )

    answer = await ask("search", q="inc0010023")

    assert numbers(answer) == ["INC0010023", "INC2"]
    assert answer["hits"][0]["why"][0] == "INC0010023"
    in_full_width = "\uff29\uff2e\uff23\uff10\uff10\uff11\uff10\uff10\uff12\uff13"
    for query in ("like INC0010023 ?", "what of INC0010023?", "[INC0010023]: again", "inc 0010023", in_full_width):
        assert numbers(await ask("search", q=query))[0] == "INC0010023", query


async def test_letters_whose_accents_come_apart_are_the_same_letters(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": doc(title="St\u00f6rung", state="\u00dcberf\u00e4llig")})

    found = await ask("search", q="sto\u0308rung", state="u\u0308berfa\u0308llig ")

    assert numbers(found) == ["INC1"]


@pytest.mark.parametrize("long", [False, True])  # A long text is taken apart by PostgreSQL.
@pytest.mark.parametrize(
    ("kept", "other"),
    [
        ("Sto\u0308rung", "St\u00f6rung"),
        ("\u110b\u1169\u1105\u1172", "\uc624\ub958"),
        ("hie\u0302\u0323n", "hi\u1ec7n"),
    ],
)
async def test_a_text_whose_accents_come_apart_is_found(
    ask: Ask, sessions: Sessions, kept: str, other: str, long: bool
) -> None:
    await build_versions(sessions, {"INC1": doc(title="Call", text=f"{kept} " + "again " * 300 * long)})

    assert numbers(await ask("search", q=kept)) == ["INC1"]
    assert numbers(await ask("search", q=other)) == ["INC1"]


async def test_a_number_with_signs_in_it_is_found(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, {"1": doc("acme/api#45", title="Crash"), "2": doc("acme/api#4", title="Crash")})

    assert numbers(await ask("search", q="acme/api#45"))[0] == "acme/api#45"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("printing", ["INC2"]),  # stemming
        ("print", ["INC1", "INC2"]),
        ('"paper jam"', ["INC1"]),  # a phrase
        ("printer -jam", ["INC2"]),  # exclusion
        ("jam or mailbox", ["INC1", "INC3"]),  # alternatives
        ("mailb", ["INC3"]),  # the beginning of the last word
        ("full mailb", ["INC3"]),
        ("mailb full", ["INC3"]),  # not the last word: one of both is all there is
        ('"mailb"', []),  # quoted: no beginning
        ("printer mailbox", ["INC1", "INC2", "INC3"]),  # no incident has both
        ("zebra", []),
    ],
)
async def test_a_query_means_what_a_web_search_would(
    ask: Ask, sessions: Sessions, query: str, found: list[str]
) -> None:
    await build_versions(
        sessions,
        {
            **FILLER,
            "INC1": doc(title="Printer has a paper jam", text=""),
            "INC2": doc(title="Printer prints pale", text=""),
            "INC3": doc(title="Mailbox is full", text=""),
        },
    )

    assert sorted(numbers(await ask("search", q=query))) == found


async def test_all_of_few_words_are_wanted_as_long_as_some_incident_has_them(ask: Ask, sessions: Sessions) -> None:
    await build_versions(
        sessions, {**FILLER, "INC1": doc(title="Printer jam"), "INC2": doc(title="Printer jam jam jam offline")}
    )

    answer = await ask("search", q="printer offline")

    assert (numbers(answer), answer["matching"]) == (["INC2"], "all")


async def test_a_question_of_many_words_does_not_need_all_of_them(ask: Ask, sessions: Sessions) -> None:
    await build_versions(
        sessions, {**FILLER, "INC1": doc(title="VPN drops"), "INC2": doc(title="VPN tunnel drops on wifi")}
    )

    answer = await ask("search", q="why does my vpn tunnel keep dropping whenever I join the guest wifi in Lisbon")

    assert (numbers(answer), answer["matching"]) == (["INC2", "INC1"], "some")


async def test_a_word_in_the_title_weighs_more(ask: Ask, sessions: Sessions) -> None:
    await build_versions(
        sessions,
        {
            **FILLER,
            "INC1": doc(title="Something odd", text="The scanner is slow and warm today"),
            "INC2": doc(title="Scanner", text="Something odd is slow and warm today"),
        },
    )

    assert numbers(await ask("search", q="scanner")) == ["INC2", "INC1"]


async def test_notes_and_parts_of_names_are_searched(ask: Ask, sessions: Sessions) -> None:
    note = Note("2026-03-01T09:00:00Z", "Beth", "work_notes", "Set com.acme.mail.QuotaLimit to 5")
    await build_versions(sessions, {**FILLER, "INC1": doc(notes=[note])})

    answer = await ask("search", q="quotalimit")

    assert numbers(answer) == ["INC1"]
    assert "com.acme.mail.<mark>QuotaLimit</mark>" in answer["hits"][0]["snippet"]
    assert numbers(await ask("search", q="com.acme.mail.QuotaLimit")) == ["INC1"]


async def test_snippets_are_escaped(ask: Ask, sessions: Sessions) -> None:
    text = 'Router says "a < b" & <script>alert(1)</script> \ue000evil\ue001 router'
    await build_versions(sessions, {"INC1": doc(text=text)})

    (hit,) = (await ask("search", q="router"))["hits"]

    assert "<mark>Router</mark>" in hit["snippet"]
    assert "a &lt; b&quot; &amp;" in hit["snippet"], hit["snippet"]
    assert "<mark>evil" not in hit["snippet"]
    assert hit["snippet"].replace("<mark>", "").replace("</mark>", "").count("<") == 0


async def test_tombstones_stay_out_unless_asked_for(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, {**FILLER, "INC1": doc(title="Printer")}, {"INC1": gone()})

    assert numbers(await ask("search", q="printer")) == []
    assert numbers(await ask("search", q="INC1 printer")) == []
    (hit,) = (await ask("search", q="printer", include="tombstones"))["hits"]
    assert (hit["number"], hit["is_deleted"]) == ("INC1", True)


@pytest.mark.parametrize("left", [{}, FILLER])
async def test_a_question_of_many_words_finds_a_tombstone_by_words_that_nothing_else_says(
    ask: Ask, sessions: Sessions, left: dict[str, Any]
) -> None:
    await build_versions(sessions, {**left, "INC1": doc(title="Quasar beacon flickers", text="")}, {"INC1": gone()})

    for question in ("why does the quasar beacon flicker", "quasar printer", "quasar zebra"):
        assert numbers(await ask("search", q=question, include="tombstones")) == ["INC1"], question
        assert numbers(await ask("search", q=question)) == []


async def test_an_older_version_answers_as_it_did_then(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(
        sessions,
        {**FILLER, "INC1": doc(title="Printer jam"), "INC2": doc(title="Printer jam in room two")},
    )
    before = await ask("search", q="printer jam")
    await story.version({"INC1": doc(title="Mailbox full"), "INC2": gone(), "INC4": doc(title="Jam jam printer")})
    await story.version({f"INC1{i}": doc(title="jam") for i in range(9)})

    then = await ask("search", q="printer jam", version=1)

    assert then == before
    assert {hit["version"] for hit in then["hits"]} == {1}
    assert numbers(await ask("search", q="printer jam")) == ["INC4"]


async def test_an_answer_says_which_version_it_is_of_though_nothing_was_found(
    ask: Ask, live: LiveApp, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="Printer")}, {"INC1": doc(title="Scanner")})
    one = {"integration": str(story.dataset_id)}
    viewer = await live.credentials([Permission.KNOWLEDGE_VIEW])

    found = [await ask("search", q="zebra", **query) for query in ({}, {"version": 1}, one)]
    alike = await ask("incidents/INC1/similar", version=1, **one)
    by_text = await live.client.post("/knowledge/similar?version=1", json={"text": "zebra"}, headers=viewer)
    await build_versions(sessions, {"INC1": doc(title="Printer")})
    of_several = await ask("search", q="zebra")

    assert [(answer["version"], answer["hits"]) for answer in found] == [(2, []), (1, []), (2, [])]
    assert [(answer["version"], answer["hits"]) for answer in (alike, by_text.json())] == [(1, [])] * 2
    assert of_several["version"] is None


async def test_what_is_being_built_is_not_seen_by_readers_of_the_head(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(sessions, {**FILLER, "INC1": doc(title="Printer jam")})
    await story.version({"INC2": doc(title="Printer jam"), "INC1": doc(title="Mailbox")}, state="building")

    assert numbers(await ask("search", q="printer")) == ["INC1"]
    assert numbers(await ask("search", q="printer", version=2)) == ["INC2"]


@pytest.mark.parametrize("before", [(), (FILLER,)])
async def test_a_version_that_waits_for_a_word_is_searched_like_any_other(
    ask: Ask, sessions: Sessions, before: tuple[dict[str, Any], ...]
) -> None:
    """Its words are counted when it is published."""
    story = await build_versions(sessions, *before)
    news = {"INC1": doc(title="Zebra crossing", text="The paint is wet"), "INC2": doc(title="Zebra", text="It is wet")}
    held = {"version": await story.version(news, state="held"), "integration": story.dataset_id}

    found = await ask("search", q="which zebra crossing has wet paint", **held)
    alike = await ask("incidents/INC2/similar", **held)

    assert numbers(found) == ["INC1", "INC2"]
    assert found["hits"][0]["score"] > found["hits"][1]["score"] > 0
    assert (numbers(alike), alike["hits"][0]["why"]) == (["INC1"], ["zebra", "wet"])


async def test_a_version_needs_a_dataset_where_there_are_several(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="Printer")})
    await build_versions(sessions, {"INC1": doc(title="Printer")})

    refused = await ask("search", q="printer", version=1, status=422)
    answer = await ask("search", q="printer", version=1, integration=story.dataset_id)

    assert refused["message"].startswith("version: needs ?integration=")
    assert [hit["integration_id"] for hit in answer["hits"]] == [str(story.dataset_id)]
    assert len((await ask("search", q="printer"))["hits"]) == 2
    await ask("search", q="printer", version=9, integration=story.dataset_id, status=404)
    await ask("search", q="printer", integration="550e8400-e29b-41d4-a716-446655440000", status=404)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "resolved"}, ["INC1"]),
        ({"state": "s6"}, ["INC1"]),
        ({"priority": "high"}, ["INC2"]),
        ({"priority": "2 - High"}, ["INC2"]),
        ({"priority": "p2"}, ["INC2"]),
        ({"priority": ""}, []),
        ({"state": ""}, []),
        ({"category": "NETWORK"}, ["INC2"]),
        ({"category": "net-1"}, ["INC2"]),
        ({"group": "field services"}, ["INC1"]),
        ({"group": "OPS"}, ["INC1"]),
        ({"opened_after": "2026-02-01T00:00:00Z"}, ["INC2"]),
        ({"opened_before": "2026-02-01T01:00:00+01:00"}, ["INC1"]),
        ({"state": "resolved", "priority": "high"}, []),
        ({}, ["INC1", "INC2"]),
    ],
)
async def test_filters_narrow_the_hits(ask: Ask, sessions: Sessions, query: dict[str, str], found: list[str]) -> None:
    first: dict[str, Any] = {
        "state": "Resolved",
        "state_code": "S6",
        "priority": "Moderate",
        "assignment_group": "Field Services",
        "assignment_group_id": "OPS",
    }
    second: dict[str, Any] = {
        "state": "New",
        "state_code": "1",
        "priority": "2 - High",
        "priority_code": "P2",
        "category": "Network",
        "category_code": "NET-1",
    }
    await build_versions(
        sessions,
        {
            "INC1": doc(title="Printer", created_at="2026-01-31T23:59:59Z", **first),
            "INC2": doc(title="Printer", opened_at="2026-02-01T00:00:00Z", **second),
        },
    )

    assert sorted(numbers(await ask("search", q="printer", **query))) == found
    assert sorted(numbers(await ask("search", q="inc1 inc2", **query))) == found


async def test_the_beginning_of_a_word_stands_for_words_that_are_said_in_this_version(
    ask: Ask, sessions: Sessions
) -> None:
    words = ("mailbag", "mailgun", "mailhub", "mailman", "mailpit", "mailrun")
    said = {f"{word}-{i}": doc(title=word, text="") for word in words for i in range(2)}
    unsaid = {number: doc(title="post", text="") for number in said}
    await build_versions(sessions, {"REQ1": doc(title="mailroom", text=""), "REQ2": doc(title="mailroom", text="")})
    story = await build_versions(sessions, {**said, "INC1": doc(title="mailroom", text="")}, unsaid)

    async def found(version: int, q: str = "mailr") -> dict[str, float]:
        answer = await ask("search", q=q, integration=str(story.dataset_id), version=version)
        return {hit["number"]: hit["score"] for hit in answer["hits"]}

    before, now = await found(1), await found(2)
    shorter, everywhere = await found(2, "mai"), await ask("search", q="mai")
    async with sessions.begin() as session:
        await pruning.prune_versions(session, story.dataset_id, keep=1)
        await pruning.prune_terms(session, story.dataset_id, "")

    assert sorted(before) == ["INC1", "mailrun-0", "mailrun-1"]
    assert list(now) == list(shorter) == ["INC1"]
    assert sorted(numbers(everywhere)) == ["INC1", "REQ1", "REQ2"]
    assert await found(2) == now


async def test_pages_follow_one_another_though_a_sync_comes_between(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(sessions, {f"INC{i:03}": doc(title="printer " * (1 + i % 7)) for i in range(25)})
    whole = await ask("search", q="printer", limit=100)

    pages = [await ask("search", q="printer", limit=10)]
    await story.version({f"NEW{i}": doc(title="printer printer printer") for i in range(5)})
    while pages[-1]["next_cursor"]:
        assert len(pages) < 5, "the cursor does not move"
        pages.append(await ask("search", q="printer", limit=10, cursor=pages[-1]["next_cursor"]))

    assert [number for page in pages for number in numbers(page)] == numbers(whole)
    assert len(numbers(whole)) == 25


async def test_a_cursor_does_not_answer_for_another_version_or_dataset_than_is_asked_for(
    ask: Ask, sessions: Sessions
) -> None:
    story = await build_versions(
        sessions, {f"INC{i}": doc(title="printer") for i in range(3)}, {"INC9": doc(title="printer")}
    )
    other = await build_versions(sessions, {"OTHER1": doc(title="printer"), "OTHER2": doc(title="printer")})
    here, there = {"integration": story.dataset_id}, {"integration": other.dataset_id}
    cursor = (await ask("search", q="printer", limit=1, version=1, **here))["next_cursor"]
    of_both = (await ask("search", q="printer", limit=1))["next_cursor"]

    for query in ({"cursor": cursor, "version": 2, **here}, {"cursor": cursor, **there}, {"cursor": of_both, **here}):
        assert (await ask("search", q="printer", status=422, **query))["errors"][0]["field"] == "cursor"
    for query in ({"cursor": cursor, "version": 1, **here}, {"cursor": cursor}, {"cursor": of_both}):
        assert numbers(await ask("search", q="printer", **query))


async def test_nor_does_one_of_more_datasets_than_it_can_name(
    ask: Ask, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "_MOST_PINNED", 1)
    story = await build_versions(sessions, {f"INC{i}": doc(title="printer") for i in range(3)})
    await build_versions(sessions, {"OTHER1": doc(title="printer")})
    cursor = (await ask("search", q="printer", limit=3))["next_cursor"]

    refused = await ask("search", q="printer", cursor=cursor, integration=story.dataset_id, status=422)

    assert refused["errors"][0]["field"] == "cursor"
    assert len(numbers(await ask("search", q="printer", cursor=cursor))) == 1


async def test_a_cursor_of_a_version_that_is_not_kept_any_more_says_to_begin_anew(ask: Ask, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc(title="printer"), "INC2": doc(title="printer")})
    cursor = (await ask("search", q="printer", limit=1))["next_cursor"]
    await story.version({"INC3": doc()})
    async with sessions.begin() as session:
        await pruning.prune_versions(session, story.dataset_id, keep=1)

    refused = await ask("search", q="printer", cursor=cursor, status=422)

    assert refused["message"] == "cursor: is of a version that cannot be read any more: leave it out to begin anew"
    asked_for = await ask("search", q="printer", cursor=cursor, version=1, status=404)
    assert asked_for["message"] == "Version 1 is not kept any more; the oldest that can be read is version 2"


async def test_a_cursor_does_not_go_on_in_another_search(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, {f"INC{i}": doc(title="printer jam") for i in range(4)})
    cursor = (await ask("search", q="printer", limit=2))["next_cursor"]

    for other in ({"q": "jam"}, {"q": "printer", "state": "New"}, {"q": "printer", "include": "tombstones"}):
        refused = await ask("search", limit=2, cursor=cursor, status=422, **other)
        assert refused["message"] == "cursor: is of another search: leave it out to begin anew"
    assert len((await ask("search", q="printer", limit=1, cursor=cursor))["hits"]) == 1


async def test_at_most_a_hundred_hits_are_given(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, {f"INC{i:03}": doc(title="printer") for i in range(130)})

    answer = await ask("search", q="printer", limit=1000)

    assert (len(answer["hits"]), answer["next_cursor"]) == (100, None)


@pytest.mark.parametrize("cursor", ["x", "WzEsIngi", "WzEsIngiXQ", "WzFd", "WyIiLCJsZXhpY2FsIiwieCIsInkiXQ"])
async def test_a_forged_cursor_is_refused(ask: Ask, cursor: str) -> None:
    assert "cursor" in (await ask("search", q="printer", cursor=cursor, status=422))["message"]


@pytest.mark.parametrize("query", ["the", "and of the", "-printer", "-", '""', "   ", "!!! ???", "or", "\\", "&|!()"])
async def test_a_query_that_says_nothing_is_told_so(ask: Ask, sessions: Sessions, query: str) -> None:
    await build_versions(sessions, {"INC1": doc(title="Printer")})

    answer = await ask("search", q=query)

    assert answer["hits"] == []
    assert "nothing to look for" in answer["message"]


async def test_a_query_whose_words_nobody_has_said_is_not_told_that_it_says_nothing(ask: Ask) -> None:
    for query in ("zebra", "zebra crossing closed until tomorrow"):
        answer = await ask("search", q=query)

        assert (answer["hits"], answer["message"]) == ([], None), query


@pytest.mark.parametrize("query", ["", "x" * 2001, "nul\0"])
async def test_a_query_that_cannot_be_one_is_refused(ask: Ask, query: str) -> None:
    await ask("search", q=query, status=422)


async def test_an_empty_knowledge_base_finds_nothing(ask: Ask) -> None:
    assert (await ask("search", q="printer"))["hits"] == []
    assert (await ask("search", q="printer", version=1, status=422))["message"]


PIECES = st.sampled_from(
    [
        '"',
        "-",
        " or ",
        "'",
        "\\",
        "&",
        "|",
        "!",
        "(",
        ":*",
        "<->",
        "printer",
        "paper",
        "jam",
        "INC1",
        "%",
        "_",
        " ",
        "ß",
    ]
)


async def test_dashes_that_stand_before_no_word_exclude_none(ask: Ask, sessions: Sessions) -> None:
    await build_versions(sessions, FILLER, {"INC1": doc(title="vpn drops"), "INC2": doc(title="vpn")})
    lines = ["-" * 40, "- " * 40, "-!-(" * 20, "-<" * 40]

    found = [
        numbers(await ask("search", q=query))
        for query in (*(f"vpn {line} drops" for line in lines), "vpn - drops", "vpn --drops")
    ]
    excluded = [numbers(await ask("search", q=query)) for query in ("vpn -drops", "vpn - -drops", 'vpn -"drops"')]

    assert found == [["INC1"]] * 6
    assert excluded == [["INC2"]] * 3
    for line in lines:
        assert "nothing to look for" in (await ask("search", q=line))["message"]


async def test_a_name_is_excluded_as_a_whole(ask: Ask, sessions: Sessions) -> None:
    await build_versions(
        sessions,
        FILLER,
        {
            "INC1": doc(title="Quota", text="Of com.acme.mail, told by e-mail to ada@acme.com, as in ABC-12"),
            "INC2": doc(title="Quota", text="12 letters of the mail that the house of acme sent to ada"),
            "INC3": doc(title="Quota", text="Of a share"),
        },
    )

    for query in ("quota -com.acme.mail", "quota -ABC-12", "quota -ada@acme.com", "-e-mail quota", 'quota -"e-mail"'):
        assert sorted(numbers(await ask("search", q=query))) == ["INC2", "INC3"], query
    assert numbers(await ask("search", q='"share -e-mail" or "letters of the mail"')) == ["INC2"]


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.lists(PIECES).map("".join)
    )
)
async def test_no_query_ever_fails(search: SearchService, sessions: Sessions, query: str) -> None:
    async with sessions() as session:
        known = (await search.search(Question("printer"))).hits
        await session.rollback()
    if not known:
        await build_versions(sessions, {"INC1": doc(title="Printer", text="it's a 'paper' jam \\ in C:\\temp")})

    found = await search.search(Question(query))

    assert all(hit["number"] == "INC1" for hit in found.hits)
