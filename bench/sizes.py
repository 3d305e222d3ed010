"""How big a knowledge base is: bytes of tables and indexes, of a document, and of a revision; connections of a process.

A second version that changes one document of a hundred, and a third that only moves as many time stamps, are made in a
transaction that is rolled back: what they added is the growth of the files. Where such a transaction was rolled back
before, its room is used again: measure in a folder that was filled anew.
"""

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from bench.generated import number
from bench.search import filled, issue_tokens, measure
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.knowledge import terms
from tests.support.applications import settings_for
from tests.support.databases import plain_url
from tests.support.processes import as_environment, running, workplace

MIB = 1 << 20
CLIENTS = 32

_RELATIONS = """
    SELECT t.relname AS "table", i.relname AS index, pg_relation_size(coalesce(i.oid, t.oid)) AS bytes,
           CASE WHEN i.oid IS NULL THEN pg_table_size(t.oid) - pg_relation_size(t.oid) ELSE 0 END AS beside
    FROM pg_class t LEFT JOIN LATERAL (
        SELECT NULL::oid AS oid, NULL::name AS relname
        UNION ALL SELECT c.oid, c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
        WHERE x.indrelid = t.oid
    ) i ON true
    WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace
    ORDER BY pg_total_relation_size(t.oid) DESC, i.relname NULLS FIRST
"""
_SIZES = """
    SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
# One of a hundred says something else: another word in its text, another state.
_CHANGED = """
    WITH chosen AS (
        SELECT r.document_id, r.number, c.* FROM revisions r JOIN contents c ON c.id = r.content_id
        WHERE r.valid_from = 1 AND c.id % 100 = 0
    ), said AS (
        INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, url, tsv, words)
        SELECT dataset_id, decode(md5('changed ' || id), 'hex'), title, text || ' and more', notes,
               attributes || '{"state": "Reopened"}', url, tsv || to_tsvector('simple', 'more'), words + 1
        FROM chosen RETURNING id, hash
    ), ended AS (
        UPDATE revisions r SET valid_to = 2 FROM chosen WHERE r.document_id = chosen.document_id AND r.valid_from = 1
        RETURNING r.document_id
    )
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change, source_updated_at)
    SELECT chosen.document_id, 2, chosen.dataset_id, said.id, chosen.number, 'updated', now()
    FROM chosen JOIN said ON said.hash = decode(md5('changed ' || chosen.id), 'hex')
    JOIN ended ON ended.document_id = chosen.document_id
"""
_ENDED = "UPDATE revisions SET valid_to = 3 WHERE valid_from = 1 AND valid_to = 2147483647 AND content_id % 100 = 1"
_TOUCHED = """
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change, source_updated_at)
    SELECT document_id, 3, dataset_id, content_id, number, 'touched', now() FROM revisions WHERE valid_to = 3
"""


def main(arguments: list[str]) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench sizes", description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where a filled database is kept for the next time")
    chosen, _ = parser.parse_known_args(arguments)
    with filled(chosen.documents, chosen.folder) as url:
        asyncio.run(_relations(url, chosen.documents))
        asyncio.run(_versions(url, chosen.documents))
        _connections(url, chosen.documents)


async def _relations(url: str, documents: int) -> None:
    connection = await asyncpg.connect(plain_url(url))
    try:
        rows = await connection.fetch(_RELATIONS)
        total = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    print(f"\n{documents:,} documents: {total / MIB:,.0f} MiB, {total / documents:,.0f} bytes a document\n")
    print("| | MiB | bytes a document |\n|---|---|---|")
    for row in rows:
        size = row["bytes"] + row["beside"]
        if size >= MIB:
            name = f"index `{row['index']}`" if row["index"] else f"`{row['table']}`"
            beside = f", {row['beside'] / MIB:,.0f} of it TOAST" if row["beside"] > MIB else ""
            print(f"| {name}{beside} | {size / MIB:,.0f} | {size / documents:,.0f} |")


async def _versions(url: str, documents: int) -> None:
    engine = create_engine(url, pool_size=1)
    try:
        async with create_sessions(engine)() as session:
            dataset = await session.scalar(text("SELECT id FROM datasets WHERE head IS NOT NULL"))
            assert isinstance(dataset, UUID)
            before = await _sizes(session)
            print(f"\n| {max(1, documents // 100):,} revisions | bytes each | of them contents | term counts |")
            print("|---|---|---|---|")
            for version, name, statements in ((2, "changed", [_CHANGED]), (3, "touched", [_ENDED, _TOUCHED])):
                await _add_version(session, dataset, version, statements)
                after = await _sizes(session)
                grown = {table: (after[table] - before[table]) / max(1, documents // 100) for table in after}
                print(
                    f"| {name} | {sum(grown.values()):,.0f} | {grown['contents']:,.0f} | {grown['term_counts']:,.0f} |"
                )
                before = after
            await session.rollback()
    finally:
        await engine.dispose()


async def _add_version(session: AsyncSession, dataset: UUID, version: int, statements: list[str]) -> None:
    facts: dict[str, Any] = {"dataset": dataset, "version": version}
    await session.execute(
        text("INSERT INTO versions (dataset_id, number, state, kind) VALUES (:dataset, :version, 'published', 'sync')"),
        facts,
    )
    for statement in statements:
        await session.execute(text(statement))
    await session.execute(text("SELECT gin_clean_pending_list('ix_contents_tsv')"))
    await terms.count_version(session, dataset_id=dataset, version=version)


async def _sizes(session: AsyncSession) -> dict[str, int]:
    return {row.name: row.bytes for row in await session.execute(text(_SIZES))}


def _connections(url: str, documents: int) -> None:
    """Counts the database's clients: with one process more, and while that is busy."""
    settings = settings_for(url, access_rate_factor=1000, database_pool_size=10)
    tokens = asyncio.run(issue_tokens(settings, CLIENTS))
    environment = {**as_environment(settings), "ACCESS_RATE_FACTOR": "1000"}
    print(f"\n| process, DATABASE_POOL_SIZE=10 | idle | {CLIENTS} clients |\n|---|---|---|")
    with workplace() as home:
        with _process(home, "worker", r"worker\.started", environment):
            print(f"| worker | {_clients(url)} | |")
        with _process(home, "serve", r"serve\.started .*\burl=(\S+)", environment) as base:
            idle = _clients(url)
            paths = [f"/knowledge/incidents/{number(1 + i * 37 % documents)}" for i in range(CLIENTS * 40)]
            measure(base, paths, tokens, CLIENTS, lambda: 0.0, lambda: 0.0)
            print(f"| API | {idle} | {_clients(url)} |")


@contextmanager
def _process(home: Path, command: str, ready: str, environment: dict[str, str]) -> Iterator[str]:
    """What it says of itself when it is ready."""
    folder = home / command
    folder.mkdir()
    arguments = ("serve", "--no-worker", "--port", "0") if command == "serve" else (command,)
    with running(folder, *arguments, settings=environment) as process:
        found = process.wait_to_say(ready)
        yield found[found.lastindex or 0]


def _clients(url: str) -> int:
    async def ask() -> int:
        connection = await asyncpg.connect(plain_url(url))
        try:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                )
            )
        finally:
            await connection.close()

    return asyncio.run(ask())
