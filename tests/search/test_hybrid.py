"""Searching by meaning as well: what is embedded when, what is found by it, and what happens without it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker

from integrations_api.connectors.embeddings.client import EmbeddingClient
from integrations_api.db.engine import Sessions
from integrations_api.egress.guard import EgressPolicy
from integrations_api.knowledge import embedding
from integrations_api.search import meaning
from integrations_api.search.filler import EmbeddingFiller
from integrations_api.settings import Settings
from tests.search.conftest import Hybrid
from tests.support.knowledge import build_versions, doc, gone
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

CAR = doc(title="Car broken", text="The car of the sales team does not start.")
POST = doc(title="Post is late", text="No post came in since Monday.")
PRINTER = doc(title="Printer jams", text="Paper is stuck in the second tray.")


def numbers(answer: Any) -> list[str]:
    return [hit["number"] for hit in answer["hits"]]


async def test_a_query_finds_what_has_none_of_its_words(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": PRINTER, "INC2": CAR, "INC3": POST})
    await hybrid.fill()

    answer = await hybrid.get("search", q="my automobile broken again")

    assert (answer["ranking"], answer["matching"]) == ("hybrid", "some")
    assert answer["hits"][0]["number"] == "INC2"
    assert answer["hits"][0]["why"] == ["semantic", "broken"]


async def test_words_alone_answer_until_all_is_embedded_and_the_answer_says_which(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": POST})

    before = await hybrid.get("search", q="automobile")
    unfilled = await hybrid.progress(story)
    await hybrid.fill()

    assert (before["ranking"], numbers(before), unfilled) == ("lexical", [], None)
    assert (await hybrid.get("search", q="automobile"))["ranking"] == "hybrid"
    assert await hybrid.progress(story) == {"model": "bag", "answers": True, "embedded": 2, "refused": 0, "of": 2}


async def test_what_is_published_later_is_embedded_alone(hybrid: Hybrid, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": POST})
    await hybrid.fill()
    hybrid.service.asked.clear()

    await story.version({"INC3": PRINTER})
    waiting = await hybrid.progress(story)
    await hybrid.fill()

    assert (waiting["embedded"], waiting["of"]) == (2, 3)
    assert hybrid.service.texts == [f"{PRINTER.title}\n{PRINTER.text}"]
    assert (await hybrid.progress(story))["embedded"] == 3


async def test_a_text_that_has_not_changed_and_one_that_is_rolled_back_cost_nothing(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": CAR})
    await hybrid.fill()
    await story.version({"INC1": doc(title=CAR.title, text=CAR.text, state="Resolved"), "INC2": PRINTER})
    await hybrid.fill()
    assert len(hybrid.service.texts) == 2

    await story.version({"INC1": CAR, "INC2": CAR}, kind="rollback")
    await hybrid.fill()

    assert len(hybrid.service.texts) == 2
    assert (await hybrid.progress(story))["embedded"] == 2


async def test_only_what_is_live_in_the_version_asked_for_is_near(hybrid: Hybrid, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    await story.version({"INC1": gone(), "INC2": CAR})
    await hybrid.fill()

    now = await hybrid.get("search", q="automobile")
    then = await hybrid.get("search", q="automobile", version=1)

    assert numbers(now) == ["INC2"]
    assert [(hit["number"], hit["version"]) for hit in then["hits"]] == [("INC1", 1), ("INC2", 1)]
    assert numbers(await hybrid.get("search", q="automobile", include="tombstones")) == ["INC1", "INC2"]


async def test_filters_hold_for_what_is_near_too(hybrid: Hybrid, sessions: Sessions) -> None:
    cars = {f"INC{i}": doc(title=CAR.title, text=f"{CAR.text} {i}", priority="3 - Low") for i in range(20)}
    await build_versions(sessions, {**cars, "INC99": doc(title="Bus", text="It stands.", priority="1 - High")})
    await hybrid.fill()

    assert await hybrid.found("automobile", priority="high") == ["INC99"]


async def test_operators_and_numbers_ask_for_words(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    hybrid.service.asked.clear()

    for query in ('"car broken"', "car -printer", "car or bus", "INC1"):
        answer = await hybrid.get("search", q=query)
        assert (answer["ranking"], numbers(answer)) == ("lexical", ["INC1"])
    assert hybrid.service.asked == []


async def test_similar_incidents_need_no_word_in_common_and_say_why(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(
        sessions,
        {
            "INC1": doc(title="Automobile", text="Vehicle email"),
            "INC2": doc(title="Car", text="car post", resolution="Charged the battery."),
            "INC3": PRINTER,
        },
    )
    await hybrid.fill()
    hybrid.service.asked.clear()

    answer = await hybrid.get("incidents/INC1/similar")

    assert (answer["ranking"], numbers(answer)[0]) == ("hybrid", "INC2")
    assert answer["hits"][0]["why"] == ["semantic"]
    assert answer["hits"][0]["resolution"] == "Charged the battery."
    assert hybrid.service.asked == []  # Its own vector is kept.


async def test_similar_to_a_text_is_found_by_meaning(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()

    answer = await hybrid.post("similar", {"text": "vehicle\nautomobile"})

    assert (answer["ranking"], numbers(answer)[0]) == ("hybrid", "INC1")


async def test_among_texts_that_say_the_same_resolved_ones_come_first(hybrid: Hybrid, sessions: Sessions) -> None:
    same: dict[str, Any] = {"title": "Car", "text": "car"}
    await build_versions(
        sessions, {"INC1": doc(**same), "INC2": doc(**same, resolved_at="2026-02-01T00:00:00Z"), "INC3": doc(**same)}
    )
    await hybrid.fill()

    assert await hybrid.found("automobile") == ["INC2", "INC1", "INC3"]


async def test_pages_do_not_ask_the_service_again(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {f"INC{i}": doc(title="Car", text=f"number {i}") for i in range(5)})
    await hybrid.fill()
    hybrid.service.asked.clear()

    first = await hybrid.get("search", q="automobile", limit=3)
    second = await hybrid.get("search", q="automobile", limit=3, cursor=first["next_cursor"])

    assert len(set(numbers(first) + numbers(second))) == 5
    assert len(hybrid.service.asked) == 1


async def test_pages_repeat_and_leave_out_nothing_though_the_service_dies_between_them(
    hybrid: Hybrid, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process answers, or this one has forgotten the query's vector."""
    monkeypatch.setattr(meaning, "_REMEMBERED", 0)
    cars = {f"INC{i}": doc(title="Car", text=f"number {i}") for i in range(3)}
    broken = {f"REQ{i}": doc(title="Broken", text=f"chair, number {i}") for i in range(12)}
    await build_versions(sessions, cars | broken)
    await hybrid.fill()

    pages = [await hybrid.get("search", q="automobile vehicle broken", limit=4)]
    hybrid.service.is_dead = True
    while cursor := pages[-1]["next_cursor"]:
        pages.append(await hybrid.get("search", q="automobile vehicle broken", limit=7, cursor=cursor))

    first, found = set(numbers(pages[0])), [number for page in pages for number in numbers(page)]
    assert [page["ranking"] for page in pages][:2] == ["hybrid", "lexical"]
    assert first & cars.keys()
    assert first & broken.keys()
    assert sorted(found) == sorted(first | broken.keys())


async def test_what_was_ranked_by_words_goes_on_so_though_the_service_is_back(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    await build_versions(sessions, {f"INC{i}": doc(title="Broken car", text=f"number {i}") for i in range(5)})
    await hybrid.fill()

    hybrid.service.refuses = {"broken"}
    first = await hybrid.get("search", q="automobile broken", limit=3)
    hybrid.service.refuses = set()
    second = await hybrid.get("search", q="automobile broken", limit=3, cursor=first["next_cursor"])

    assert (first["ranking"], second["ranking"]) == ("lexical", "lexical")
    assert sorted(numbers(first) + numbers(second)) == [f"INC{i}" for i in range(5)]


async def test_a_dead_service_fails_no_search_and_is_left_alone(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    hybrid.service.is_dead = True
    hybrid.service.asked.clear()

    answers = [await hybrid.get("search", q=f"car {i}") for i in range(3)]

    assert [answer["ranking"] for answer in answers] == ["lexical"] * 3
    assert numbers(answers[0]) == ["INC1"]
    assert len(hybrid.service.asked) == 1


@asynccontextmanager
async def others(hybrid: Hybrid, *, many: int, batch: int) -> AsyncIterator[list[EmbeddingFiller]]:
    """What other workers have, over the same database and service."""
    parts = hybrid.live.components
    key = parts[Settings].embeddings_api_key
    async with EmbeddingClient(url=hybrid.service.url, api_key=key, policy=EgressPolicy()) as client:
        yield [
            EmbeddingFiller(sessions=parts[async_sessionmaker], embedder=client, model="bag", batch=batch)
            for _ in range(many)
        ]


async def test_a_service_that_does_not_answer_is_not_waited_for(
    hybrid: Hybrid, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    monkeypatch.setattr(meaning, "WITHIN", timedelta(milliseconds=50))
    hybrid.service.faults = ["hang"]

    async with asyncio.timeout(PATIENCE):
        answer = await hybrid.post("similar", {"text": "car"})

    assert (answer["ranking"], numbers(answer)) == ("lexical", ["INC1"])


async def test_workers_share_the_work_and_do_nothing_twice(hybrid: Hybrid, sessions: Sessions) -> None:
    story = await build_versions(sessions, {f"INC{i}": doc(title=f"Incident {i}", text="text") for i in range(100)})

    async with others(hybrid, many=3, batch=3) as fillers:
        await asyncio.gather(*(filler.fill() for filler in fillers))

    assert len(hybrid.service.texts) == len(set(hybrid.service.texts)) == 100
    assert (await hybrid.progress(story))["embedded"] == 100


async def test_a_worker_that_is_asked_to_end_hands_over_what_it_had_claimed(hybrid: Hybrid, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    hybrid.service.faults = ["hang"]
    async with others(hybrid, many=2, batch=4) as (ends, goes_on):
        filling = asyncio.create_task(ends.fill())
        await asyncio.wait_for(hybrid.service.hangs.wait(), PATIENCE)
        filling.cancel()
        await asyncio.wait({filling})

        await goes_on.fill()

    assert (await hybrid.progress(story))["embedded"] == 2


async def test_what_a_worker_had_claimed_when_it_died_is_done_by_another_after_a_while(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    hybrid.service.faults = [401]
    await hybrid.fill()
    async with sessions.begin() as session:
        claimed = await embedding.claim(session, 1, many=1)

    async with others(hybrid, many=1, batch=4) as (filler,):
        await filler.fill()
        meanwhile = await hybrid.progress(story)
        async with sessions.begin() as session:
            await session.execute(text("UPDATE embedding_queue SET claimed_until = now() - interval '1 second'"))
        await filler.fill()

    assert (len(claimed or ()), meanwhile["embedded"], meanwhile["answers"]) == (1, 1, False)
    assert (await hybrid.progress(story))["embedded"] == 2
    assert (await hybrid.get("search", q="automobile"))["ranking"] == "hybrid"
