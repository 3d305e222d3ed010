"""A deterministic embedding service on a real socket: bags of words, hashed; some words mean the same.

It is the application of `integrations-api embeddings serve` over another encoder, behind a door that asks for a key,
misbehaves on request, and keeps what was asked.
"""

import asyncio
import hashlib
import math
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from integrations_api.cli.embedder import create_embedder
from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.db.engine import asyncpg_dsn

DIMENSION = 64
KEY = "sk-canary-7f3a"
MEANS = {"automobile": "car", "vehicle": "car", "mail": "post", "email": "post", "slow": "sluggish"}
"""Words that are embedded as others: a query finds by them what has none of its words."""


def embed(text: str, dimension: int = DIMENSION) -> list[float]:
    """The bag of a text's words, each at a place and with a sign of its own."""
    vector = [0.0] * dimension
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(MEANS.get(word, word).encode()).digest()
        vector[int.from_bytes(digest[:4]) % dimension] += 1.0 if digest[4] % 2 else -1.0
    return vector


def unit(text: str, dimension: int = DIMENSION) -> Vector:
    """The same at length 1."""
    vector = embed(text, dimension)
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return tuple(number / length for number in vector)


@dataclass
class EmbeddingServer:
    """What a test sees of the service, and sets: each of `faults` is answered once instead of a vector.

    A fault is a status, with headers of `fault_headers`, or `hang`, which answers when the test is over. Models that
    are not in `models` are not known; `refuses` are words whose texts are not taken, `numbs` such as make a text's
    vector NaN.
    """

    url: str
    models: dict[str, int] = field(default_factory=lambda: {"bag": DIMENSION})
    faults: list[int | str] = field(default_factory=list)
    fault_headers: dict[str, str] = field(default_factory=dict)
    is_dead: bool = False
    refuses: set[str] = field(default_factory=set)
    numbs: set[str] = field(default_factory=set)
    longest: int = 1_000_000
    asked: list[tuple[str, list[str]]] = field(default_factory=list)
    hangs: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def texts(self) -> list[str]:
        """Every text that was asked for, in order."""
        return [text for _, texts in self.asked for text in texts]

    def settings(self, *, model: str = "bag", batch: int = 16) -> dict[str, Any]:
        """Settings of an application that uses the service."""
        return {
            "embeddings_url": self.url,
            "embeddings_model": model,
            "embeddings_api_key": KEY,
            "embeddings_batch": batch,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        sent = orjson.loads(body)
        self.asked.append((sent["model"], sent["input"]))
        await self._answer(scope, sent["model"], sent["input"])(scope, _again(body), send)

    def _answer(self, scope: Scope, model: str, texts: Sequence[str]) -> ASGIApp:
        if self.is_dead:
            return JSONResponse({}, status_code=503)
        if self.faults:
            fault = self.faults.pop(0)
            return self._hang if isinstance(fault, str) else JSONResponse({}, fault, headers=self.fault_headers)
        if dict(scope["headers"]).get(b"authorization") != f"Bearer {KEY}".encode():
            return JSONResponse({"error": f"wrong key, not {KEY}"}, status_code=401)
        if any(len(text) > self.longest or self.refuses & set(text.split()) for text in texts):
            return JSONResponse({"error": {"message": "too long"}}, status_code=400)
        known = model if model in self.models else "another"
        return create_embedder(lambda given: [self._embed(one, self.models[model]) for one in given], model=known)

    def _embed(self, text: str, dimension: int) -> list[float]:
        return [math.nan] * dimension if self.numbs & set(text.split()) else embed(text, dimension)

    async def _hang(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.hangs.set()
        await self.over.wait()
        await JSONResponse({}, status_code=503)(scope, receive, send)


def _again(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


@asynccontextmanager
async def embedding_server() -> AsyncIterator[EmbeddingServer]:
    """The service on a free port of loopback, until the block ends."""
    service = EmbeddingServer(url="")
    config = uvicorn.Config(
        service,
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it by this flag only
        await asyncio.sleep(0.01)
    service.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        service.over.set()
        server.should_exit = True
        await task


async def skip_without_pgvector(database_url: str) -> None:
    """Skips a test where a server of the developer's own has no pgvector; the bundled one, which CI uses, must have."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"):
            assert "TEST_DATABASE_URL" in os.environ, "the bundled PostgreSQL has lost its pgvector"
            pytest.skip("this PostgreSQL has no pgvector: unset TEST_DATABASE_URL to use the bundled one")
    finally:
        await connection.close()


@dataclass
class SteadyClock:
    """Monotonic time that a test moves; sleeping moves it, too."""

    seconds: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    def advance(self, time: timedelta) -> None:
        self.seconds += time.total_seconds()


_FAKE_LIBRARY = """
class _Numbers(list):
    def tolist(self):
        return list(self)

class SentenceTransformer:
    def __init__(self, name):
        if name == "no-such-model":
            raise OSError("not found")

    def encode(self, texts, show_progress_bar):
        return _Numbers([[float(len(text)), 1.0] for text in texts])
"""
"""In place of the real one, which is large, and needs the weights of a model."""


def fake_library(folder: Path) -> Path:
    """A folder with a `sentence_transformers` whose vectors are a text's length and 1."""
    library = folder / "library"
    library.mkdir()
    (library / "sentence_transformers.py").write_text(_FAKE_LIBRARY)
    return library


def with_library(library: Path) -> str:
    """PYTHONPATH of processes that find the library, too."""
    paths = [str(library), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.pathsep.join(path for path in paths if path)
