"""The semantic ranking: the incidents whose texts lie nearest to a vector. Works in its caller's transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.embeddings.answers import Vector
from integrations_api.db.engine import is_lost_connection
from integrations_api.knowledge.embedding import Model
from integrations_api.knowledge.vectors import literal, table_of
from integrations_api.logs import get_logger
from integrations_api.search.ranked import Ranked
from integrations_api.search.repository import RESOLVED, conditions_of
from integrations_api.search.scope import SCOPED, Filters, Scope

log = get_logger(__name__)

MOST_NEAREST = 100
"""Incidents in a semantic ranking."""
FEW = 5000
"""Of so many incidents every one is compared: exact, and faster than to pick them out of all others."""
MOST_VISITED = 40_000
"""Vectors that the index scan visits at most, to find incidents that the filters let through."""
PATIENCE_MS = 2000
"""Milliseconds after which a search goes on without this ranking."""

_HIT = f"r.document_id AS id, r.number, s.version, {RESOLVED} AS is_resolved"
_LIVE = "s.dataset_id = r.dataset_id AND r.valid_from <= s.version AND r.valid_to > s.version"


def index_sql(table: str, conditions: str) -> str:
    """SQL that follows the index from the nearest on, until enough are live in the scope and pass the filters.

    The outer order is exact again: within the scan it is nearly so (`relaxed_order` finds more).
    """
    return f"""
        WITH found AS MATERIALIZED (
            SELECT {_HIT}, e.distance
            FROM (
                SELECT hash, embedding <#> CAST(:vector AS halfvec) AS distance FROM {table}
                ORDER BY embedding <#> CAST(:vector AS halfvec) LIMIT :visited
            ) e
            CROSS JOIN LATERAL (SELECT content_id FROM content_texts WHERE hash = e.hash OFFSET 0) t
            CROSS JOIN LATERAL (SELECT * FROM revisions WHERE content_id = t.content_id OFFSET 0) r
            CROSS JOIN LATERAL (SELECT * FROM contents WHERE id = t.content_id OFFSET 0) c
            JOIN {SCOPED} ON {_LIVE}
            WHERE r.document_id IS DISTINCT FROM CAST(:but AS uuid){conditions}
            LIMIT :most
        )
        SELECT * FROM found ORDER BY distance, is_resolved DESC, number, id
    """  # noqa: S608 - put together from constants


def exact_sql(table: str, conditions: str) -> str:
    """SQL that compares every incident of the scope that passes the filters."""
    return f"""
        SELECT {_HIT}, (e.embedding <#> CAST(:vector AS halfvec)) + 0 AS distance
        FROM {SCOPED}
        JOIN revisions r ON {_LIVE}
        JOIN content_texts t ON t.content_id = r.content_id
        JOIN {table} e ON e.hash = t.hash
        JOIN contents c ON c.id = r.content_id
        WHERE r.document_id IS DISTINCT FROM CAST(:but AS uuid){conditions}
        ORDER BY 5, is_resolved DESC, number, id LIMIT :most
    """  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class Meaning:
    """The vector of what is looked for, and the model that made it."""

    model: Model
    vector: Vector


async def stored_meaning(session: AsyncSession, model: Model, document_id: UUID, version: int) -> Meaning | None:
    """The vector of an incident as a version has it, if it has been embedded."""
    found: str | None = await session.scalar(
        text(f"""
            SELECT CAST(e.embedding AS text) FROM revisions r
            JOIN content_texts t ON t.content_id = r.content_id JOIN {table_of(model.id)} e ON e.hash = t.hash
            WHERE r.document_id = :id AND r.valid_from <= :version AND r.valid_to > :version
        """),  # noqa: S608 - put together from a number
        {"id": document_id, "version": version},
    )
    return None if found is None else Meaning(model, tuple(float(number) for number in found.strip("[]").split(",")))


async def filled(session: AsyncSession, model: Model, scope: Scope) -> bool:
    """Whether any dataset of the scope has been embedded whole: a beginning would put few before many."""
    found: bool | None = await session.scalar(
        text("""
            SELECT EXISTS (SELECT FROM embedding_sweeps
                           WHERE model_id = :model AND is_filled AND dataset_id = ANY(CAST(:datasets AS uuid[])))
        """),
        {"model": model.id, "datasets": list(scope.datasets)},
    )
    return bool(found)


async def nearest(
    session: AsyncSession,
    scope: Scope,
    meaning: Meaning,
    *,
    filters: Filters,
    but: UUID | None = None,
    most: int = MOST_NEAREST,
) -> list[Ranked] | None:
    """The incidents nearest to a vector, resolved ones first among equals; None where that cannot be told in time.

    Scores are likenesses between -1 and 1. Few incidents are all compared; of many the index is followed, and where
    the filters let too few through on its way, all are compared after all.
    """
    try:
        async with session.begin_nested():
            if not await filled(session, meaning.model, scope):
                return None
            await _prepare(session)
            found = await _found(session, scope, meaning, filters=filters, but=but, most=most)
            await session.execute(text("SET LOCAL statement_timeout TO DEFAULT"))
            return found
    except DBAPIError as error:
        if is_lost_connection(error):
            raise
        log.warning("embeddings.ranking_failed", error=type(error.orig).__name__)
        return None


async def _prepare(session: AsyncSession) -> None:
    await session.execute(
        text("""
            SELECT set_config('statement_timeout', :patience, true), set_config('enable_sort', 'on', true),
                   set_config('hnsw.iterative_scan', 'relaxed_order', true),
                   set_config('hnsw.ef_search', '200', true),
                   set_config('hnsw.max_scan_tuples', :visited, true)
        """),
        {"patience": str(PATIENCE_MS), "visited": str(MOST_VISITED)},
    )


async def _found(
    session: AsyncSession,
    scope: Scope,
    meaning: Meaning,
    *,
    filters: Filters,
    but: UUID | None,
    most: int,
) -> list[Ranked]:
    conditions, facts = conditions_of(filters)
    facts |= {**scope.facts, "vector": literal(meaning.vector), "but": but, "most": most}
    table = table_of(meaning.model.id)
    if scope.documents > FEW:
        facts["visited"] = MOST_VISITED
        rows = (await session.execute(text(index_sql(table, conditions)), facts)).all()
        if len(rows) == most:
            return [_ranked(row) for row in rows]
    rows = (await session.execute(text(exact_sql(table, conditions)), facts)).all()
    return [_ranked(row) for row in rows]


def _ranked(row: Row[Any]) -> Ranked:
    return Ranked(UUID(str(row.id)), row.version, round(-float(row.distance), 6), row.is_resolved)
