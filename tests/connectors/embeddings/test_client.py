"""What goes to an embedding service, and what is made of its answers."""

import json
import math
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from pydantic import SecretStr

from integrations_api.connectors.embeddings.answers import unit, vectors_of
from integrations_api.connectors.embeddings.client import EmbeddingClient, base_address, trusting
from integrations_api.connectors.embeddings.errors import TextRefused, TooSlow
from integrations_api.connectors.errors import ConnectorError, RateLimited, Refused, Retryable
from integrations_api.connectors.http import Answer
from integrations_api.connectors.retry import Time
from integrations_api.egress.client import check_url
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from tests.support.embedding import KEY, EmbeddingServer, SteadyClock, embedding_server
from tests.support.embedding import unit as expected
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingServer]:
    async with embedding_server() as running:
        yield running


@pytest.fixture
def clock() -> SteadyClock:
    return SteadyClock()


def client_of(url: str, clock: SteadyClock, *, key: str | None = KEY) -> EmbeddingClient:
    time = Time(sleep=clock.sleep, monotonic=clock, random=lambda: 1.0)
    return EmbeddingClient(url=url, api_key=SecretStr(key) if key else None, policy=EgressPolicy(), time=time)


@pytest.fixture
async def client(server: EmbeddingServer, clock: SteadyClock) -> AsyncIterator[EmbeddingClient]:
    async with client_of(server.url, clock) as opened:
        yield opened


async def test_vectors_come_in_the_order_of_the_texts_and_have_length_one(client: EmbeddingClient) -> None:
    first, second = await client.embed(["one car", "two printers"], model="bag")

    assert first == pytest.approx(expected("one car"))
    assert second == pytest.approx(expected("two printers"))
    assert math.hypot(*first) == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/embeddings"])
async def test_the_address_may_be_given_with_its_version_or_without(
    server: EmbeddingServer, clock: SteadyClock, suffix: str
) -> None:
    async with client_of(server.url + suffix, clock) as client:
        assert len(await client.embed(["text"], model="bag")) == 1


def test_a_path_before_the_version_stays() -> None:
    assert base_address("https://host/proxy/v1") == "https://host/proxy/v1"
    assert base_address("https://host/proxy") == "https://host/proxy/v1"


async def test_what_may_pass_is_tried_again_and_what_the_service_asks_for_is_waited(
    server: EmbeddingServer, client: EmbeddingClient, clock: SteadyClock
) -> None:
    server.faults, server.fault_headers = [429, 503], {"Retry-After": "7"}

    assert len(await client.embed(["text"], model="bag")) == 1
    assert clock.slept == [7.0, 7.0]


async def test_a_service_that_stays_away_is_given_up_after_a_minute(
    server: EmbeddingServer, client: EmbeddingClient, clock: SteadyClock
) -> None:
    server.is_dead = True
    began = clock()

    with pytest.raises(Retryable):
        await client.embed(["text"], model="bag")
    assert 30 < clock() - began <= 61


async def test_a_wait_longer_than_the_budget_is_not_begun(
    server: EmbeddingServer, client: EmbeddingClient, clock: SteadyClock
) -> None:
    server.faults, server.fault_headers = [429], {"Retry-After": "3600"}

    with pytest.raises(RateLimited):
        await client.embed(["text"], model="bag")
    assert clock.slept == []


async def test_one_who_waits_gets_one_try_and_a_bound(server: EmbeddingServer, client: EmbeddingClient) -> None:
    server.faults = ["hang", 503]

    with pytest.raises(TooSlow, match="did not answer in time"):
        await client.embed_at_once("text", model="bag", within=timedelta(seconds=1))
    with pytest.raises(Retryable):
        await client.embed_at_once("text", model="bag", within=timedelta(seconds=PATIENCE))
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, Refused, "EMBEDDINGS_API_KEY"),
        (403, Refused, "EMBEDDINGS_API_KEY"),
        (404, Refused, "EMBEDDINGS_MODEL"),
        (400, TextRefused, "EMBEDDINGS_MODEL"),
        (413, TextRefused, "EMBEDDINGS_MODEL"),
        (409, Refused, "EMBEDDINGS_URL"),
        (302, Refused, "redirect"),
    ],
)
async def test_a_refusal_is_not_tried_again_and_says_what_to_check(
    server: EmbeddingServer, client: EmbeddingClient, status: int, kind: type[ConnectorError], says: str
) -> None:
    server.faults = [status]

    with pytest.raises(kind) as refused:
        await client.embed(["text"], model="bag")
    assert says in f"{refused.value.message} {refused.value.remedy}"
    assert len(server.asked) == 1


async def test_no_error_shows_the_key_though_the_service_repeats_it(
    server: EmbeddingServer, clock: SteadyClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(server.url, clock, key="sk-wrong-9b1") as client:
        with pytest.raises(Refused) as refused:
            await client.embed(["text"], model="bag")

    seen = f"{refused.value!r} {refused.value.message} {refused.value.remedy} {client.__dict__} {caplog.text}"
    assert "sk-" not in seen


async def test_what_the_egress_guard_refuses_is_an_error_like_others(clock: SteadyClock, tmp_path: Path) -> None:
    policy = EgressPolicy(ca_file=tmp_path / "missing.pem")
    async with EmbeddingClient(url="https://127.0.0.1:1", api_key=None, policy=policy) as client:
        with pytest.raises(Refused, match="EGRESS_CA_FILE"):
            await client.embed_at_once("text", model="bag", within=timedelta(seconds=PATIENCE))


def test_only_the_named_host_and_port_are_opened_by_the_address() -> None:
    policy = trusting(EgressPolicy(), "http://10.0.0.5:8080/v1")

    check_url("http://10.0.0.5:8080/v1/embeddings", policy)
    for other in ("http://10.0.0.5:8081", "http://10.0.0.6:8080"):
        with pytest.raises(EgressRefused):
            check_url(other, policy)
    check_url("http://[::1]:8080", trusting(EgressPolicy(), "http://[::1]:8080"))


async def test_nobody_home_says_so(clock: SteadyClock) -> None:
    async with client_of("http://127.0.0.1:1", clock) as client:
        with pytest.raises(Retryable, match="Connection refused"):
            await client.embed(["text"], model="bag")


SOUND = {"index": 0, "embedding": [1.0, 2.0]}


@pytest.mark.parametrize(
    "data",
    [
        [],
        [SOUND],
        [SOUND, SOUND],
        [SOUND, {"index": 5, "embedding": [1.0, 2.0]}],
        [SOUND, {"index": 1, "embedding": "AAAA"}],
        [SOUND, {"index": 1, "embedding": {"0": 1.0}}],
        [SOUND, {"index": 1, "embedding": [1.0, [2.0]]}],
        [SOUND, {"index": 1, "embedding": [10**400, 2.0]}],
        [SOUND, {"index": "1", "embedding": [1.0, 2.0]}],
        [SOUND, "text"],
        {"0": SOUND, "1": SOUND},
        None,
    ],
)
def test_an_answer_that_is_not_complete_and_sound_is_none(data: Any) -> None:
    with pytest.raises(Retryable):
        vectors_of(answer(data), texts=2)


@pytest.mark.parametrize("embedding", [None, [], [1.0, None], [float("nan"), 2.0], [1.0, float("inf")]])
def test_a_text_that_the_model_has_no_vector_for_is_refused_alone(embedding: Any) -> None:
    with pytest.raises(TextRefused, match="no vector for a text"):
        vectors_of(answer([SOUND, {"index": 1, "embedding": embedding}]), texts=2)


def test_vectors_of_different_lengths_are_refused() -> None:
    with pytest.raises(Refused, match="different lengths"):
        vectors_of(answer([SOUND, {"index": 1, "embedding": [1.0]}]), texts=2)


def test_vectors_are_put_in_order_by_their_index_where_there_is_one() -> None:
    turned = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 0]}]

    assert vectors_of(answer(turned), texts=2) == [(1.0, 0.0), (0.0, 1.0)]
    bare = [{"embedding": [0, 2]}, {"embedding": [3, 0]}]
    assert vectors_of(answer(bare), texts=2) == [(0.0, 1.0), (1.0, 0.0)]


def test_a_page_for_people_is_told_from_a_broken_answer() -> None:
    page = Answer(200, httpx.Headers({"content-type": "text/html"}), b"<html>")

    with pytest.raises(Refused, match="page for people"):
        vectors_of(page, texts=1)


def test_more_numbers_than_a_vector_can_have_are_refused_before_they_are_read() -> None:
    body = b'{"data": [{"embedding": [' + b"0," * 50_000 + b"0]}]}"

    with pytest.raises(Refused, match="more than the vectors"):
        vectors_of(Answer(200, httpx.Headers(), body), texts=1)


def test_huge_and_empty_vectors_are_made_one_long_or_stay_empty() -> None:
    assert unit([1e300, 0.0]) == (1.0, 0.0)
    assert unit([0.0, 0.0]) == (0.0, 0.0)


async def test_an_https_service_is_asked_by_its_own_address(clock: SteadyClock) -> None:
    with respx.mock:
        asked = respx.post("https://api.example.com/v1/embeddings").respond(json={"data": [SOUND]})
        async with client_of("https://api.example.com", clock) as client:
            await client.embed_at_once("text", model="m", within=timedelta(seconds=PATIENCE))
    assert asked.calls.last.request.headers["authorization"] == f"Bearer {KEY}"


def answer(data: Any) -> Answer:
    return Answer(200, httpx.Headers({"content-type": "application/json"}), json.dumps({"data": data}).encode())
