"""`integrations-api embeddings`: filling what is missing, and a service of one's own beside `serve`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.types import Message
from structlog.testing import capture_logs

from integrations_api.cli.embedder import AT_ONCE, MOST_TEXTS, create_embedder
from integrations_api.cli.embedding_beside import own_embedder, word_of
from integrations_api.connectors.embeddings.client import trusting
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.egress.client import check_url
from integrations_api.settings import load_settings
from integrations_api.wiring import egress_policy
from tests.cli.conftest import Run
from tests.packaging.test_locks import PROJECT
from tests.support.applications import settings_for
from tests.support.embedding import embed, embedding_server, fake_library, skip_without_pgvector, with_library
from tests.support.knowledge import build_versions, doc
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = fake_library(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", with_library(folder))
    yield folder
    sys.modules.pop("sentence_transformers", None)


def test_a_backfill_without_a_service_says_what_to_set(run: Run, on_database: str) -> None:
    outcome = run("embeddings", "backfill")

    assert outcome.code == 1
    assert outcome.complaint == (
        "integrations-api: EMBEDDINGS_URL is not set: set it to a service with /v1/embeddings, or run "
        "`integrations-api embeddings serve` beside this and set it to the address that that one tells"
    )


def test_a_local_service_without_the_extra_says_how_to_install_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    outcome = run("embeddings", "serve", "--model", "any", "--port", "0")

    assert outcome.code == 1
    (extra,) = PROJECT["project"]["optional-dependencies"]["local-embeddings"]
    assert f"{sys.executable} -m pip install '{extra}'" in outcome.complaint


def test_a_local_service_needs_a_model_that_can_be_loaded(run: Run, library: Path) -> None:
    unnamed = run("embeddings", "serve", "--port", "0")
    unknown = run("embeddings", "serve", "--model", "no-such-model", "--port", "0")

    assert "EMBEDDINGS_MODEL" in unnamed.complaint
    assert "no-such-model cannot be loaded" in unknown.err.splitlines()[-1]


def test_a_backfill_embeds_what_is_missing_and_counts_it(
    run: Run, on_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has an event loop of its own, so the service runs in a thread's."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(embedding_server()) as service:
        portal.call(skip_without_pgvector, on_database)
        portal.call(_three_incidents, on_database)
        service.refuses = {"poison"}
        for name, value in service.settings().items():
            monkeypatch.setenv(name.upper(), str(value))

        first = run("embeddings", "backfill")
        asked = len(service.asked)
        second = run("embeddings", "backfill")

    assert (first.code, second.code) == (0, 0), first.err
    assert first.out.splitlines()[0] == "2 of 3 incidents are embedded by bag"
    assert first.out.splitlines()[1].startswith("1 are not: the service does not take")
    assert (second.out, len(service.asked)) == (first.out, asked)


async def _three_incidents(url: str) -> None:
    engine = create_engine(url, pool_size=1)
    try:
        await build_versions(
            create_sessions(engine),
            {"INC1": doc(title="Car"), "INC2": doc(title="Printer"), "INC3": doc(title="poison")},
        )
    finally:
        await engine.dispose()


@pytest.fixture
async def service_of_ours() -> AsyncIterator[httpx.AsyncClient]:
    app = create_embedder(lambda texts: [embed(text) for text in texts], model="bag")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_a_text_or_a_list_of_texts_is_embedded_in_order(service_of_ours: httpx.AsyncClient) -> None:
    one = await service_of_ours.post("/v1/embeddings", json={"model": "bag", "input": "car"})
    two = await service_of_ours.post("/v1/embeddings", json={"model": "bag", "input": ["bus", "car"]})

    assert [item["index"] for item in two.json()["data"]] == [0, 1]
    assert two.json()["data"][1]["embedding"] == one.json()["data"][0]["embedding"] == embed("car")
    assert (await service_of_ours.get("/v1/models")).json()["data"][0]["id"] == "bag"


async def test_a_query_is_embedded_in_the_midst_of_a_batch_and_a_batch_that_nobody_waits_for_is_left() -> None:
    encoded: list[str] = []
    is_gone = False

    def encode(texts: Sequence[str]) -> list[list[float]]:
        encoded.append(texts[0])
        return [embed(text) for text in texts]

    app = create_embedder(encode, model="bag")

    async def ask(first: str, many: int) -> None:
        body = orjson.dumps({"model": "bag", "input": [first] * many})
        received = iter([{"type": "http.request", "body": body}])

        async def receive() -> Message:
            if message := next(received, None):
                return message
            return {"type": "http.disconnect" if is_gone else "http.request"}

        async def send(message: Message) -> None: ...

        await app({"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": []}, receive, send)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(ask("batch", AT_ONCE * 3), ask("query", 1))
        is_gone = True
        await ask("left", AT_ONCE)

    assert encoded == ["batch", "query", "batch", "batch"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({"model": "bag"}, 400),
        ({"model": "bag", "input": []}, 400),
        ({"model": "bag", "input": [1]}, 400),
        ({"model": "bag", "input": ["x"] * (MOST_TEXTS + 1)}, 400),
        ({"model": "other", "input": "x"}, 404),
        ({"model": "bag", "input": "x" * 33_000_000}, 413),
    ],
)
async def test_what_cannot_be_embedded_is_refused(service_of_ours: httpx.AsyncClient, body: Any, status: int) -> None:
    answer = await service_of_ours.post("/v1/embeddings", json=body)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_the_service_beside_serve_is_a_process_that_answers_at_a_steady_address(library: Path) -> None:
    settings = settings_for("postgresql://nobody@127.0.0.1:1/nothing", embeddings_model="any")

    with own_embedder(settings) as (changed, child):
        assert child is not None
        running = asyncio.create_task(child.run())
        async with httpx.AsyncClient(base_url=str(changed.embeddings_url), timeout=60) as client:
            first = await client.post("/v1/embeddings", json={"model": "any", "input": "car"})
        child.stop()
        await running

    assert first.json()["data"][0]["embedding"] == [3.0, 1.0]


def test_the_service_beside_serve_is_reached_past_a_proxy_by_the_worker_too(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(
        "postgresql://nobody@127.0.0.1:1/nothing",
        embeddings_model="any",
        egress_proxy="http://proxy.example.com:3128",
        egress_no_proxy="near.example.com",
    )
    monkeypatch.setenv("EMBEDDINGS_MODEL", "any")
    monkeypatch.setenv("EGRESS_PROXY", "http://proxy.example.com:3128")

    with own_embedder(settings) as (changed, _):
        address, the_workers = str(changed.embeddings_url), load_settings(_env_file=None, **word_of(changed))

    for policy in (egress_policy(changed), egress_policy(the_workers)):
        assert policy.proxy_for(check_url(address, trusting(policy, address))) is None
        assert policy.proxy_for(check_url("https://near.example.com", policy)) is None
        assert policy.proxy_for(check_url("https://far.example.com", policy)) is not None


@pytest.mark.parametrize(
    "given", [{}, {"embeddings_model": "any", "embeddings_url": "http://127.0.0.1:1"}], ids=["no model", "a service"]
)
def test_no_service_of_ours_is_started_where_none_is_wanted(library: Path, given: dict[str, Any]) -> None:
    settings = settings_for("postgresql://nobody@127.0.0.1:1/nothing", **given)

    with own_embedder(settings) as (same, child):
        assert (same, child) == (settings, None)


def test_without_the_extra_serve_goes_on_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("integrations_api.cli.embedding_beside.find_spec", lambda name: None)
    settings = settings_for("postgresql://nobody@127.0.0.1:1/nothing", embeddings_model="any")

    with capture_logs() as logged, own_embedder(settings) as (same, child):
        assert (same, child) == (settings, None)
    assert "local-embeddings" in logged[0]["reason"]
