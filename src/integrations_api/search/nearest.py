"""The semantic ranking: the incidents whose texts lie nearest to a vector. Works in its caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.db.engine import is_lost_connection, is_timeout
from integrations_api.knowledge.embedding import Model
from integrations_api.knowledge.vectors import literal, table_of
from integrations_api.logs import get_logger
from integrations_api.search.candidates import RESOLVED, conditions_of
from integrations_api.search.ranked import Ranked
from integrations_api.search.scope import SCOPED, Filters, Scope

log = get_logger(__name__)

MOST_NEAREST = 100
"""Incidents in a semantic ranking."""
FEW = 5000
"""Of so many incidents every one is compared: exact, and faster than to pick them out of all others."""
GLANCE = 2000
"""Vectors visited to see how many of them are live in the scope and pass the filters."""
MOST_VISITED = 20_000
"""Vectors that the index scan visits at most."""
CANDIDATES = 200
"""How many the index keeps in view while it searches (`hnsw.ef_search`)."""
OVER, WELL_OVER = 2, 4
"""Picked by the index for each that is wanted, at a glance and when few pass: what it gives late may be nearer."""
DEARER = 30
"""How much more a visit by the index costs than a comparison with the next incident in line: some 17 times in time
(80 µs and 5 µs), and it misses some."""
PATIENCE_MS = 1000
"""Milliseconds after which one look through the vectors is broken off."""

_HIT = "r.document_id AS id, r.number, r.content_id, s.version"
_LIVE = "s.dataset_id = r.dataset_id AND r.valid_from <= s.version AND r.valid_to > s.version"
_RESOLVED_FIRST = f"""
    SELECT f.id, f.version, f.distance, {RESOLVED} AS is_resolved
    FROM found f JOIN contents c ON c.id = f.content_id ORDER BY f.distance, is_resolved DESC, f.number, f.id
"""  # nosec B608 # noqa: S608 - put together from constants


def index_sql(table: str, conditions: str) -> str:
    """SQL that follows the index from the nearest on, until enough are live in the scope and pass the filters.

    The outer order is exact again: within the scan it is nearly so (`relaxed_order` finds more). `OFFSET 0` keeps the
    planner from turning the loops around.
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
            JOIN {SCOPED} ON {_LIVE}
            {_contents(conditions, "CROSS JOIN LATERAL (SELECT * FROM contents WHERE id = t.content_id OFFSET 0) c")}
            WHERE r.document_id IS DISTINCT FROM CAST(:but AS uuid){conditions}
            LIMIT :picked
        )
        {_RESOLVED_FIRST}
    """  # nosec B608 # noqa: S608 - put together from constants


def exact_sql(table: str, conditions: str) -> str:
    """SQL that compares every incident of the scope that passes the filters."""
    return f"""
        WITH found AS MATERIALIZED (
            SELECT {_HIT}, (e.embedding <#> CAST(:vector AS halfvec)) + 0 AS distance
            FROM {SCOPED}
            JOIN revisions r ON {_LIVE}
            JOIN content_texts t ON t.content_id = r.content_id
            JOIN {table} e ON e.hash = t.hash
            {_contents(conditions, "JOIN contents c ON c.id = r.content_id")}
            WHERE r.document_id IS DISTINCT FROM CAST(:but AS uuid){conditions}
            ORDER BY distance, number, id LIMIT :most
        )
        {_RESOLVED_FIRST}
    """  # nosec B608 # noqa: S608 - put together from constants


def _contents(conditions: str, join: str) -> str:
    """Contents are read only where a filter asks for their attributes: they are most of the work."""
    return join if "c." in conditions else ""


def likeness_sql(table: str) -> str:
    """SQL that compares a few incidents that are named by id and version."""
    return f"""
        SELECT h.id, h.version, false AS is_resolved, (e.embedding <#> CAST(:vector AS halfvec)) + 0 AS distance
        FROM unnest(CAST(:ids AS uuid[]), CAST(:read_in AS integer[])) AS h(id, version)
        JOIN revisions r ON r.document_id = h.id AND r.valid_from <= h.version AND r.valid_to > h.version
        JOIN content_texts t ON t.content_id = r.content_id
        JOIN {table} e ON e.hash = t.hash
    """  # nosec B608 # noqa: S608 - put together from constants


class Meaning(Struct, frozen=True):
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
        """),  # nosec B608 # noqa: S608 - put together from a number
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

    Scores are likenesses between -1 and 1. Few incidents are all compared. Of many the index is followed: a glance
    tells how many pass on its way, and so whether to go on, or to compare them all after all.
    """
    conditions, facts = conditions_of(filters)
    facts |= {**scope.facts, "vector": literal(meaning.vector), "but": but, "most": most}
    look = _Look(session, meaning.model, conditions, facts)
    if not await filled(session, meaning.model, scope):
        return None
    if scope.documents <= FEW:
        return await look.exact()
    seen = await look.by_index(OVER * most, visited=GLANCE)
    if seen is None or len(seen) == OVER * most:
        return seen and seen[:most]
    visits = WELL_OVER * most * GLANCE // max(1, len(seen))
    if visits <= MOST_VISITED and visits * DEARER < scope.documents:
        more = await look.by_index(WELL_OVER * most, visited=MOST_VISITED)
    else:
        more = await look.exact()
    return (more or seen)[:most]


async def likenesses(session: AsyncSession, meaning: Meaning, hits: Sequence[Ranked]) -> Mapping[UUID, float]:
    """How like a vector these few incidents are; without those that have none, or that cannot be told in time."""
    if not hits:
        return {}
    named = {"ids": [one.id for one in hits], "read_in": [one.version for one in hits]}
    look = _Look(session, meaning.model, "", {"vector": literal(meaning.vector), **named})
    return {one.id: one.score for one in await look.these() or ()}


class _Look(Struct, frozen=True):
    """Looks through the vectors for one query; each is None where it takes too long or fails."""

    session: AsyncSession
    model: Model
    conditions: str
    facts: Mapping[str, Any]

    async def exact(self) -> list[Ranked] | None:
        return await self._rows(exact_sql(table_of(self.model.id), self.conditions), {})

    async def by_index(self, picked: int, *, visited: int) -> list[Ranked] | None:
        sql = index_sql(table_of(self.model.id), self.conditions)
        return await self._rows(sql, {"picked": picked, "visited": visited})

    async def these(self) -> list[Ranked] | None:
        return await self._rows(likeness_sql(table_of(self.model.id)), {})

    async def _rows(self, sql: str, more: Mapping[str, Any]) -> list[Ranked] | None:
        try:
            async with self.session.begin_nested():
                await self.session.execute(
                    _BOUNDS, {"patience": str(PATIENCE_MS), "candidates": str(CANDIDATES), "visited": str(MOST_VISITED)}
                )
                found = (await self.session.execute(text(sql), {**self.facts, **more})).all()
                await self.session.execute(text("SET LOCAL statement_timeout TO DEFAULT"))
        except DBAPIError as error:
            if is_lost_connection(error) and not is_timeout(error):
                raise
            log.warning("embeddings.look_failed", error="timeout" if is_timeout(error) else type(error.orig).__name__)
            return None
        return [Ranked(UUID(str(r.id)), r.version, round(-float(r.distance), 6), r.is_resolved) for r in found]


# A look is planned with its vector and limits: what they are decides between the index and a comparison with all.
_BOUNDS = text("""
    SELECT set_config('statement_timeout', :patience, true), set_config('plan_cache_mode', 'force_custom_plan', true),
           set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', :candidates, true),
           set_config('hnsw.max_scan_tuples', :visited, true)
""")
