"""How long a diff takes: 500 changes between two versions of 100,000 generated documents.

The statement alone, as PostgreSQL's EXPLAIN ANALYZE tells it, and the whole answer with its word-level segments, each
the median of many, for pages of 50 and of 500.
"""

import argparse
import asyncio
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.db.engine import Sessions, create_engine, create_sessions, raw_connection
from integrations_api.db.migrations import upgrade
from integrations_api.knowledge.diffing import DiffQuestion
from integrations_api.knowledge.service import KnowledgeService
from tests.support.databases import databases, throwaway_server

DOCUMENTS, CHANGED, ADDED, REMOVED, TOUCHED, REPEATS = 100_000, 400, 50, 50, 5_000, 30

# Version 2 changes 400, removes 50, adds 50 and moves the time stamp of 5,000; texts have some 150 words.
_WORDS = "(SELECT string_agg('word' || (n * 7919 + w * {step}) % 60000, ' ') FROM generate_series(1, 150) w)"
_FILL = f"""
    INSERT INTO datasets (id, service_name, head, last_version) VALUES (:dataset, 'ServiceNow', 2, 2);
    INSERT INTO versions (dataset_id, number, state, kind, parent, published_at)
    SELECT :dataset, n, 'published', 'sync', nullif(n - 1, 0), now() FROM generate_series(1, 2) n;
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)
    SELECT :dataset, decode(md5(n::text), 'hex'), 'Incident ' || n, {_WORDS.format(step=104729)}, '[]',
           jsonb_build_object('state', 'New', 'priority', '3 - Moderate'), ''
    FROM generate_series(1, {DOCUMENTS + ADDED}) n ORDER BY n;
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv)
    SELECT :dataset, decode(md5('b' || n), 'hex'), 'Incident ' || n,
           {_WORDS.format(step=104729)} || ' and it was mended', '[]',
           jsonb_build_object('state', 'Closed', 'priority', '3 - Moderate'), ''
    FROM generate_series(1, {CHANGED}) n ORDER BY n;
    INSERT INTO documents (id, dataset_id, external_id)
    SELECT md5(n::text)::uuid, :dataset, md5(n::text) FROM generate_series(1, {DOCUMENTS + ADDED}) n;
    INSERT INTO revisions (document_id, valid_from, valid_to, dataset_id, content_id, number, change)
    SELECT md5(n::text)::uuid, 1, CASE WHEN n <= {CHANGED + REMOVED + TOUCHED} THEN 2 ELSE 2147483647 END, :dataset,
           (SELECT min(id) FROM contents) + n - 1, 'INC' || lpad(n::text, 7, '0'), 'added'
    FROM generate_series(1, {DOCUMENTS}) n;
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change, reason)
    SELECT md5(n::text)::uuid, 2, :dataset,
           (SELECT min(id) FROM contents) + CASE WHEN n <= {CHANGED} THEN {DOCUMENTS + ADDED} ELSE 0 END + n - 1,
           'INC' || lpad(n::text, 7, '0'),
           CASE WHEN n <= {CHANGED} THEN 'updated' WHEN n <= {CHANGED + REMOVED} THEN 'deleted' ELSE 'touched' END,
           CASE WHEN n > {CHANGED} AND n <= {CHANGED + REMOVED} THEN 'deleted' END
    FROM generate_series(1, {CHANGED + REMOVED + TOUCHED}) n;
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change)
    SELECT md5(n::text)::uuid, 2, :dataset, (SELECT min(id) FROM contents) + n - 1,
           'INC' || lpad(n::text, 7, '0'), 'added'
    FROM generate_series({DOCUMENTS + 1}, {DOCUMENTS + ADDED}) n;
    ANALYZE
"""


def main(arguments: list[str]) -> None:
    """Prints one table."""
    argparse.ArgumentParser(prog="python -m bench diff", description=__doc__).parse_args(arguments)
    with throwaway_server() as server, databases(server) as made:
        database = made.create()
        upgrade(database)
        asyncio.run(_measure(database))


async def _measure(url: str) -> None:
    engine = create_engine(url, pool_size=2)
    sessions, dataset = create_sessions(engine), uuid4()
    async with sessions.begin() as session:
        for statement in _FILL.split(";"):
            await session.execute(text(statement), {"dataset": dataset} if ":dataset" in statement else {})
    knowledge = KnowledgeService(sessions=sessions)
    print("| page | statement, ms | answer, ms |\n|---|---|---|")
    for limit in (50, 500):

        async def ask(limit: int = limit) -> None:
            question = DiffQuestion(dataset_id=dataset, base=1, version=2, limit=limit)
            answer = await knowledge.diff(question)
            assert answer.counts == {"added": ADDED, "changed": CHANGED, "removed": REMOVED}
            assert len(answer.changes) == limit

        print(f"| {limit} | {await _explained(engine, sessions, ask)} | {await _median(ask)} |")
    await engine.dispose()


async def _median(ask: Callable[[], Awaitable[None]]) -> float:
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - begun) * 1000)
    return round(statistics.median(times), 1)


async def _explained(engine: AsyncEngine, sessions: Sessions, ask: Callable[[], Awaitable[None]]) -> float:
    """Execution time as PostgreSQL tells it, of the statement that `ask` sends."""
    sent: list[tuple[str, tuple[object, ...]]] = []

    def note(_: object, __: object, statement: str, parameters: tuple[object, ...], *___: object) -> None:
        sent.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    await ask()
    event.remove(engine.sync_engine, "before_cursor_execute", note)
    statement, parameters = max(sent, key=lambda one: len(one[0]))
    times = []
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
        async with raw_connection(session) as driver:
            for _ in range(REPEATS):
                lines = await driver.fetch(f"EXPLAIN (ANALYZE, TIMING OFF) {statement}", *parameters)
                times.append(float(re.findall(r"Execution Time: ([\d.]+) ms", lines[-1][0])[0]))
    return round(statistics.median(times), 1)
