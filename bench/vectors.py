"""How many of the truly nearest incidents the vector index finds, under filters of every sharpness, and how fast.

Vectors are made up: clusters in 32 directions, written as 384 numbers with some noise. Some clusters belong to one
category, so that a filter may also shut out everything around the query. Truth is the comparison with every incident,
by the product's own exact statement.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import mul
from uuid import UUID, uuid4

from sqlalchemy import text

from integrations_api.connectors.embeddings.answers import unit
from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.db.migrations import upgrade
from integrations_api.db.reading import reading
from integrations_api.knowledge import embedding, vectors
from integrations_api.knowledge.embedding import Model
from integrations_api.search import nearest
from integrations_api.search.nearest import Meaning
from integrations_api.search.scope import Filters, Scope
from tests.support.databases import databases, throwaway_server

DIMENSION = 384
DIRECTIONS = 32
"""In which vectors differ for the most part: real ones do not fill their space either."""
CLUSTERS = 200
OWNED = 20
"""Clusters whose incidents all have the category `owned`; no query comes from them."""
SHARES = {"half": 0.5, "tenth": 0.1, "hundredth": 0.01, "thousandth": 0.001}
CHUNK = 1000


@dataclass(frozen=True)
class Made:
    """A generated dataset, and what is asked of it."""

    scope: Scope
    model: Model
    queries: list[Vector]


def main(arguments: list[str]) -> None:
    """Prints a row for each filter."""
    parser = argparse.ArgumentParser(prog="python -m bench vectors", description=__doc__)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=50)
    chosen, _ = parser.parse_known_args(arguments)
    with throwaway_server() as server, databases(server) as made:
        url = made.create()
        upgrade(url)
        asyncio.run(_measure(url, chosen.documents, chosen.queries))


async def _measure(url: str, documents: int, queries: int) -> None:
    engine = create_engine(url, pool_size=2)
    try:
        sessions = create_sessions(engine)
        began = time.monotonic()
        made = await _make(sessions, documents, queries)
        print(f"{documents:,} vectors of {DIMENSION} kept in {time.monotonic() - began:.0f} s", flush=True)
        print(f"{'filter':<12}{'recall@10':>10}{'recall@100':>12}{'p50 ms':>8}{'p95 ms':>8}{'exact p50':>11}")
        for name in ("none", *SHARES, "owned"):
            await _show(sessions, made, name)
    finally:
        await engine.dispose()


async def _show(sessions: Sessions, made: Made, name: str) -> None:
    filters = Filters(category=None if name == "none" else name)
    ten, hundred, ours, exact = [], [], [], []
    for query in made.queries:
        found, seconds = await _asked(sessions, made, query, filters, few=nearest.FEW)
        ours.append(seconds * 1000)
        truth, seconds = await _asked(sessions, made, query, filters, few=10**9)
        exact.append(seconds * 1000)
        ten.append(_recall(found[:10], truth[:10]))
        hundred.append(_recall(found, truth))
    p95 = statistics.quantiles(ours, n=20)[-1]
    print(
        f"{name:<12}{statistics.mean(ten):>10.3f}{statistics.mean(hundred):>12.3f}"
        f"{statistics.median(ours):>8.0f}{p95:>8.0f}{statistics.median(exact):>11.0f}",
        flush=True,
    )


async def _asked(
    sessions: Sessions, made: Made, query: Vector, filters: Filters, *, few: int
) -> tuple[list[UUID], float]:
    nearest.FEW, kept = few, nearest.FEW
    nearest.PATIENCE_MS = 60_000  # Truth takes its time.
    began = time.monotonic()
    try:
        async with reading(sessions) as session:
            found = await nearest.nearest(session, made.scope, Meaning(made.model, query), filters=filters)
    finally:
        nearest.FEW = kept
    assert found is not None, "not in time"
    return [one.id for one in found], time.monotonic() - began


def _recall(found: Sequence[UUID], truth: Sequence[UUID]) -> float:
    return len(set(found) & set(truth)) / len(truth) if truth else 1.0


class _Clusters:
    """The same vectors at every run."""

    def __init__(self) -> None:
        self.dice = random.Random(7)
        self._centres = [self._noise(DIRECTIONS) for _ in range(CLUSTERS)]
        self._axes = [self._noise(DIRECTIONS) for _ in range(DIMENSION)]

    def _noise(self, many: int) -> list[float]:
        return [self.dice.gauss(0, 1) for _ in range(many)]

    def near(self, cluster: int) -> Vector:
        """A vector of the cluster that leans to another one."""
        other = self._centres[self.dice.randrange(CLUSTERS)]
        own, lean = self._centres[cluster], self.dice.uniform(0, 0.8)
        place = [a + lean * b + 0.5 * self.dice.gauss(0, 1) for a, b in zip(own, other, strict=True)]
        return unit([sum(map(mul, axis, place)) + 0.3 * self.dice.gauss(0, 1) for axis in self._axes])


async def _make(sessions: Sessions, documents: int, queries: int) -> Made:
    clusters, dataset = _Clusters(), uuid4()
    async with sessions.begin() as session:
        assert await vectors.obstacle(session) is None
        model = await embedding.want_model(session, "made-up")
        await embedding.note_dimension(session, model.id, DIMENSION)
        await session.execute(
            text("INSERT INTO datasets (id, service_name, head, documents) VALUES (:id, 'Bench', 1, :many)"),
            {"id": dataset, "many": documents},
        )
        await session.execute(
            text("INSERT INTO embedding_sweeps (model_id, dataset_id, swept, is_filled) VALUES (:model, :id, 1, true)"),
            {"id": dataset, "model": model.id},
        )
    for first in range(0, documents, CHUNK):
        chunk = list(_documents(clusters, range(first, min(first + CHUNK, documents))))
        async with sessions.begin() as session:
            await session.execute(
                _INSERT, {"dataset": dataset, "categories": [one for one, _ in chunk], "first": first}
            )
            kept = {b"%d" % place: vector for place, (_, vector) in enumerate(chunk, start=first)}
            await vectors.store(session, model.id, kept)
    async with sessions.begin() as session:
        await session.execute(text("ANALYZE"))
        found = await embedding.want_model(session, "made-up")
    asked = [clusters.near(clusters.dice.randrange(OWNED, CLUSTERS)) for _ in range(queries)]
    return Made(Scope((dataset,), (1,), documents, 50.0), found, asked)


def _documents(clusters: _Clusters, places: range) -> Iterator[tuple[str, Vector]]:
    for _ in places:
        cluster = clusters.dice.randrange(CLUSTERS)
        yield _category(cluster, clusters.dice.random()), clusters.near(cluster)


def _category(cluster: int, chance: float) -> str:
    if cluster < OWNED:
        return "owned"
    for name, share in SHARES.items():
        chance -= share
        if chance < 0:
            return name
    return "rest"


_INSERT = text("""
    WITH given AS (
        SELECT :first + ordinal - 1 AS place, category, gen_random_uuid() AS id
        FROM unnest(CAST(:categories AS text[])) WITH ORDINALITY AS g(category, ordinal)
    ), made AS (
        INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)
        SELECT :dataset, convert_to(place::text, 'UTF8'), 'Incident ' || place, repeat('Some words of it. ', 20), '[]',
               jsonb_build_object('category', category, 'state', 'New', 'filler', repeat('x', 300)), ''
        FROM given RETURNING id, hash
    ), linked AS (
        INSERT INTO content_texts (content_id, hash) SELECT id, hash FROM made
    ), documents AS (
        INSERT INTO documents (id, dataset_id, external_id) SELECT id, :dataset, place FROM given
    )
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change)
    SELECT g.id, 1, :dataset, m.id, 'INC' || g.place, 'added'
    FROM given g JOIN made m ON m.hash = convert_to(g.place::text, 'UTF8')
""")
