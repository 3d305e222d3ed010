"""The vector of a query: bounded, remembered, and the breaker before a service that fails."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.connectors.embeddings.errors import TextRefused, TooSlow
from integrations_api.connectors.errors import ConnectorError, Retryable
from integrations_api.knowledge.embedding import LONGEST_TEXT
from integrations_api.search.meaning import LEFT_ALONE, WITHIN, QueryEmbedder
from tests.support.embedding import SteadyClock

pytestmark = pytest.mark.anyio


@dataclass
class Moody:
    """A service whose answers a test decides."""

    error: ConnectorError | None = None
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def embed(self, texts: Sequence[str], *, model: str) -> list[Vector]:
        raise AssertionError("a query is not tried again and again")

    async def embed_at_once(self, text: str, *, model: str, within: timedelta) -> Vector:
        assert within == WITHIN <= timedelta(seconds=1)
        self.asked.append(text)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return (1.0, 0.0)


def made() -> tuple[Moody, SteadyClock, QueryEmbedder]:
    service, clock = Moody(), SteadyClock()
    return service, clock, QueryEmbedder(embedder=service, monotonic=clock)


async def test_after_a_failure_nobody_waits_until_a_while_has_passed() -> None:
    service, clock, meaning = made()
    service.error = Retryable("away")

    found = [await meaning.vector_of(f"query {i}", model="m") for i in range(5)]
    clock.advance(timedelta(seconds=LEFT_ALONE))
    service.error = None
    again = [await meaning.vector_of(f"query {i}", model="m") for i in range(2)]

    assert found == [None] * 5
    assert again == [(1.0, 0.0)] * 2
    assert service.asked == ["query 0", "query 0", "query 1"]


async def test_then_one_tries_while_the_others_go_on_without() -> None:
    service, clock, meaning = made()
    service.error = Retryable("away")
    await meaning.vector_of("first", model="m")
    clock.advance(timedelta(seconds=LEFT_ALONE))
    service.gate = asyncio.Event()

    trial = asyncio.create_task(meaning.vector_of("trial", model="m"))
    await asyncio.sleep(0)
    other = await meaning.vector_of("other", model="m")
    service.gate.set()

    assert (await trial, other) == (None, None)
    assert service.asked == ["first", "trial"]


async def test_a_client_that_hangs_up_during_the_trial_leaves_it_to_another() -> None:
    service, clock, meaning = made()
    service.error = Retryable("away")
    await meaning.vector_of("first", model="m")
    clock.advance(timedelta(seconds=LEFT_ALONE))
    service.error, service.gate = None, asyncio.Event()

    trial = asyncio.create_task(meaning.vector_of("trial", model="m"))
    await asyncio.sleep(0)
    trial.cancel()
    await asyncio.wait({trial})
    service.gate.set()

    assert await meaning.vector_of("another", model="m") == (1.0, 0.0)


async def test_the_slowest_of_many_answers_does_not_make_the_others_go_without() -> None:
    service, clock, meaning = made()
    service.gate = asyncio.Event()
    slow = asyncio.create_task(meaning.vector_of("slow", model="m"))
    await asyncio.sleep(0)
    gate, service.gate = service.gate, None

    clock.advance(WITHIN / 2)
    await meaning.vector_of("meanwhile", model="m")
    service.error = TooSlow("no answer")
    gate.set()

    assert await slow is None
    assert await meaning.vector_of("alone", model="m") is None
    assert await meaning.vector_of("left out", model="m") is None
    assert service.asked == ["slow", "meanwhile", "alone"]


async def test_a_text_that_the_service_does_not_take_says_nothing_against_the_service() -> None:
    service, _, meaning = made()
    service.error = TextRefused("too long")

    assert await meaning.vector_of("odd", model="m") is None
    service.error = None
    assert await meaning.vector_of("fine", model="m") == (1.0, 0.0)


async def test_another_model_by_the_same_name_is_left_alone_and_named_in_the_log() -> None:
    service, _, meaning = made()

    with capture_logs() as logged:
        found = [await meaning.vector_of(text, model="m", dimension=3) for text in ("query", "again")]

    assert (found, service.asked) == ([None, None], ["query"])
    assert logged[0]["reason"] == "It gives vectors of 2 numbers, and gave those of 3 before"


async def test_a_query_is_asked_once_for_each_model_and_cut_to_what_is_embedded() -> None:
    service, _, meaning = made()

    for model in ("old", "old", "new"):
        await meaning.vector_of("x" * 100_000, model=model)

    assert [len(text) for text in service.asked] == [LONGEST_TEXT] * 2


async def test_the_latest_queries_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations_api.search.meaning._REMEMBERED", 1)
    service, _, meaning = made()

    for text in ("first", "second", "second", "first"):
        await meaning.vector_of(text, model="m")

    assert service.asked == ["first", "second", "first"]
