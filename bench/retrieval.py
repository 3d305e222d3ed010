"""How well similar incidents are found, over whole collections with known answers.

This product's lexical ranking, asked through its own service over its own tables; the same with an embedding service,
and the vectors alone, where EMBEDDINGS_URL and EMBEDDINGS_MODEL name one; PostgreSQL's plain `ts_rank` over a
query that wants every word; and bm25s as the reference. The collections are not part of the project: without
`../shared/data/retrieval` this part is left out, and said so.
"""

import argparse
import asyncio
import gzip
import json
import math
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from bench.contestants import meaning
from integrations_api.clock import utc_now
from integrations_api.connectors.records import MappedDocument, SourceRecord
from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.db.migrations import upgrade
from integrations_api.knowledge import contents, staging, versions
from integrations_api.knowledge.documents import StagedRecord, as_row, content_of
from integrations_api.knowledge.versions import Chunk
from integrations_api.search.service import SearchService
from tests.support.databases import databases, throwaway_server

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data" / "retrieval"
DEPTH = 100
CHUNK = 1000

Ranking = Mapping[str, Sequence[str]]
"""Ids of documents for each query's id, best first."""


@dataclass(frozen=True)
class Collection:
    """Documents as (title, body) by id, and for each query (a document's id) the grades of its answers."""

    name: str
    documents: dict[str, tuple[str, str]]
    answers: dict[str, dict[str, int]]


def main(arguments: list[str]) -> None:
    """Prints one table for each collection."""
    parser = argparse.ArgumentParser(prog="python -m bench retrieval", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    chosen, _ = parser.parse_known_args(arguments)
    if not chosen.data.is_dir():
        print(f"left out: there are no collections in {chosen.data}")
        return
    with throwaway_server() as server, databases(server) as made:
        for folder in sorted(path for path in chosen.data.iterdir() if path.is_dir()):
            collection = read_collection(folder)
            url = made.create()
            upgrade(url)
            _show(collection, asyncio.run(_ours(url, collection)) | _reference(collection))
            made.drop(url)


def read_collection(folder: Path) -> Collection:
    """A collection from its two files of JSON lines."""
    corpus, queries = (next(folder.glob(f"{name}.jsonl*")) for name in ("corpus", "queries"))
    documents = {line["id"]: (line["title"] or "", line["body"] or "") for line in _lines(corpus)}
    answers = {str(line["query_id"]): {str(d): g for d, g in line["relevant"].items()} for line in _lines(queries)}
    return Collection(folder.name, documents, answers)


def _lines(path: Path) -> Iterable[Any]:
    raw = path.read_bytes()
    whole = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return [json.loads(line) for line in whole.splitlines() if line.strip()]


async def _ours(url: str, collection: Collection) -> dict[str, Ranking]:
    """What the product and the naive query answer, from one database."""
    async with _sessions(url) as sessions:
        dataset = await load(sessions, collection)
        product, naive = {}, {}
        search = SearchService(sessions=sessions)
        for query in collection.answers:
            found = await search.similar_to(query, dataset_id=dataset, version=None, limit=DEPTH)
            product[query] = [hit["number"] for hit in found.hits]
            naive[query] = await _naive(sessions, " ".join(collection.documents[query]))
        by_meaning = await meaning.rankings(sessions, dataset, collection.answers, depth=DEPTH)
    return {"this product, lexical": product, **by_meaning, "ts_rank, every word": naive}


@asynccontextmanager
async def _sessions(url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(url, pool_size=2, idle_limit=timedelta(minutes=5))
    try:
        yield create_sessions(engine)
    finally:
        await engine.dispose()


async def load(sessions: Sessions, collection: Collection) -> UUID:
    """Puts a collection into the knowledge base as a sync does: staged, planned, ingested in chunks, published."""
    dataset, run = uuid4(), uuid4()
    documents = [_mapped(id_, *words) for id_, words in collection.documents.items()]
    made = [content_of(document) for document in documents]
    staged = [
        StagedRecord(SourceRecord(id_, None, None, {}), "{}", document, None, content)
        for id_, document, content in zip(collection.documents, documents, made, strict=True)
    ]
    rows = [as_row(run, dataset, seq, one) for seq, one in enumerate(staged)]
    async with sessions() as session, session.begin():
        await session.execute(
            text("INSERT INTO datasets (id, service_name) VALUES (:id, :name)"),
            {"id": dataset, "name": collection.name},
        )
        await contents.keep(session, dataset_id=dataset, contents=made)
        await staging.stage(session, rows)
        plan = await staging.plan(session, run_id=run, dataset_id=dataset)
        number = await versions.begin_version(session, dataset_id=dataset, kind="sync", run_id=run)
        for first in range(1, plan.to_ingest + 1, CHUNK):
            last = min(first + CHUNK - 1, plan.to_ingest)
            chunk = Chunk(dataset, run, number, first, last)
            await versions.keep_documents(session, chunk)
            await versions.ingest(session, chunk)
        await versions.publish(session, dataset_id=dataset, version=number, plan=plan, at=utc_now())
    async with sessions() as session, session.begin():
        await session.execute(text("ANALYZE"))
    return dataset


def _mapped(id_: str, title: str, body: str) -> MappedDocument:
    title, body = title.replace("\0", ""), body.replace("\0", "")
    return MappedDocument(number=id_, title=title, text=body, notes=(), attributes={}, url=None)


async def _naive(sessions: Sessions, words: str) -> list[str]:
    statement = text("""
        SELECT r.number FROM contents c JOIN revisions r ON r.content_id = c.id,
               plainto_tsquery('english', :words) q
        WHERE c.tsv @@ q ORDER BY ts_rank(c.tsv, q) DESC, r.number LIMIT :depth
    """)
    async with sessions() as session:
        return list(await session.scalars(statement, {"words": words.replace("\0", ""), "depth": DEPTH + 1}))


def _reference(collection: Collection) -> dict[str, Ranking]:
    """bm25s, run by an environment of its own; without it that row is left out."""
    python = HERE / "out" / "bm25s" / "bin" / "python"
    if not python.exists():
        print("bm25s is left out: python -m venv bench/out/bm25s, and pip install 'bm25s[core]' PyStemmer with it")
        return {}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as corpus:
        json.dump({id_: " ".join(words) for id_, words in collection.documents.items()}, corpus)
        corpus.flush()
        ran = subprocess.run(
            [python, HERE / "contestants" / "bm25s_reference.py", corpus.name],
            input=json.dumps(list(collection.answers)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return {"bm25s": json.loads(ran.stdout)}


def _precision(k: int) -> Callable[[Sequence[int], Sequence[int]], float]:
    return lambda grades, _: sum(grade > 0 for grade in grades[:k]) / k


def _reciprocal(grades: Sequence[int], _: Sequence[int]) -> float:
    return next((1 / place for place, grade in enumerate(grades[:10], start=1) if grade), 0.0)


def _average_precision(grades: Sequence[int], wanted: Sequence[int]) -> float:
    places = [place for place, grade in enumerate(grades, start=1) if grade]
    return sum(found / place for found, place in enumerate(places, start=1)) / min(len(wanted), DEPTH)


def _recall(grades: Sequence[int], wanted: Sequence[int]) -> float:
    return sum(grade > 0 for grade in grades[:10]) / len(wanted)


def _gain(grades: Sequence[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(place + 1) for place, grade in enumerate(grades[:10], start=1))


def _ndcg(grades: Sequence[int], wanted: Sequence[int]) -> float:
    return _gain(grades) / _gain(sorted(wanted, reverse=True))


METRICS = {
    "MAP": _average_precision,
    "MRR@10": _reciprocal,
    "P@1": _precision(1),
    "P@5": _precision(5),
    "recall@10": _recall,
    "nDCG@10": _ndcg,
}
"""Each of the grades of a ranking's documents, in order, and of the grades of all answers."""


def measure(ranking: Ranking, answers: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """The mean of each metric over all queries; a query is no answer to itself."""
    totals = dict.fromkeys(METRICS, 0.0)
    for query, wanted in answers.items():
        listed = [id_ for id_ in ranking.get(query, ()) if id_ != query][:DEPTH]
        grades = [wanted.get(id_, 0) for id_ in listed]
        for name, metric in METRICS.items():
            totals[name] += metric(grades, list(wanted.values()))
    return {name: total / len(answers) for name, total in totals.items()}


def _show(collection: Collection, rankings: Mapping[str, Ranking]) -> None:
    print(f"\n{collection.name}: {len(collection.documents)} documents, {len(collection.answers)} queries")
    print(f"| {'':24} | " + " | ".join(f"{name:>9}" for name in METRICS) + " |")
    print("|" + "|".join(["-" * 26, *["-" * 11] * len(METRICS)]) + "|")
    for name, ranking in rankings.items():
        measured = measure(ranking, collection.answers)
        print(f"| {name:24} | " + " | ".join(f"{value:9.3f}" for value in measured.values()) + " |", flush=True)
