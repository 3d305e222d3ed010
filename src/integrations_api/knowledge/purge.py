"""Removing one incident for good, from every version and from what was staged. Works in its caller's transaction."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.errors import Conflict, NotFound
from integrations_api.knowledge import datasets, pruning, vectors
from integrations_api.knowledge.terms import uncount_document


class Purged(Struct, frozen=True):
    """What a purge removed: counts of rows."""

    dataset_id: UUID
    document_id: UUID
    revisions: int
    contents: int
    raw_records: int
    rejected_records: int


async def refuse_while_running(session: AsyncSession, dataset_id: UUID) -> None:
    """Locks the dataset, so that nothing is published meanwhile. Raises `Conflict` while a run is going on."""
    run_id = await datasets.run_after_lock(session, dataset_id)
    if run_id is not None:
        raise Conflict(f"A sync is going on (run {run_id}): purge when it has ended, or cancel it")


# What a version once added, updated or deleted stays told.
_UNCOUNT = text("""
    UPDATE datasets d
    SET documents = d.documents - CASE WHEN r.change = 'deleted' THEN 0 ELSE 1 END,
        tombstones = d.tombstones - CASE WHEN r.change = 'deleted' THEN 1 ELSE 0 END
    FROM revisions r
    WHERE r.document_id = :id AND d.id = r.dataset_id AND r.valid_from <= d.head AND r.valid_to > d.head
""")

_REVISIONS = text("DELETE FROM revisions WHERE document_id = :id RETURNING content_id")
# Contents are written before revisions name them: a fetch that was broken off may have left some of this incident,
# and nothing tells whose a content is but the raw record that has its hash, or the plan of a run that maps anew.
_ITS_OWN = text("""
    SELECT c.id FROM raw_records w JOIN contents c ON c.dataset_id = :dataset AND c.hash = w.hash
    WHERE w.dataset_id = :dataset AND w.external_id = :external
    UNION SELECT content_id FROM staged_changes WHERE document_id = :id AND content_id IS NOT NULL
""")
_IS_UNUSED = """
    NOT EXISTS (SELECT FROM revisions r WHERE r.content_id = c.id)
    AND NOT EXISTS (SELECT FROM staged_changes s WHERE s.content_id = c.id AND s.document_id <> :id)
"""
_UNUSED_AMONG = text(f"SELECT c.id FROM contents c WHERE c.id = ANY(CAST(:among AS bigint[])) AND {_IS_UNUSED}")  # nosec B608 # noqa: S608 - put together from constants
_UNUSED = text(f"SELECT c.id, c.hash FROM contents c WHERE c.dataset_id = :dataset AND {_IS_UNUSED}")  # nosec B608 # noqa: S608 - put together from constants
_NAMED_BY_OTHERS = text("""
    SELECT DISTINCT hash FROM raw_records
    WHERE dataset_id = :dataset AND external_id <> :external AND hash = ANY(CAST(:hashes AS bytea[]))
""")
_CONTENTS = text("DELETE FROM contents WHERE id = ANY(CAST(:ids AS bigint[]))")
_RAW = text("DELETE FROM raw_records WHERE dataset_id = :dataset AND external_id = :external RETURNING run_id")
_REJECTED = text(
    "DELETE FROM rejected_records WHERE dataset_id = :dataset AND external_id = :external RETURNING run_id"
)
_DOCUMENT = text("DELETE FROM documents WHERE id = :id RETURNING id")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_REST = (
    text("DELETE FROM staged_changes WHERE document_id = :id"),
    # Such contents may be there of which the raw record has gone already: they are looked for within minutes.
    text("UPDATE datasets SET pruned_at = NULL, pruning = NULL WHERE id = :dataset"),
)


async def purge(session: AsyncSession, *, dataset_id: UUID, document_id: UUID, external_id: str) -> Purged:
    """Removes a document, its revisions, contents and embeddings that nothing else uses, and what it was made from.

    Raises `NotFound` for one that somebody else has purged meanwhile.
    """
    facts = {"id": document_id, "dataset": dataset_id, "external": external_id}
    await uncount_document(session, dataset_id=dataset_id, document_id=document_id)
    await session.execute(_UNCOUNT, facts)
    revisions = (await session.execute(_REVISIONS, facts)).all()
    contents = await _remove_unused_contents(session, facts, {row.content_id for row in revisions})
    raw = (await session.execute(_RAW, facts)).all()
    rejected = (await session.execute(_REJECTED, facts)).all()
    document = await session.scalar(_DOCUMENT, facts)
    if document is None and not raw and not rejected:
        raise NotFound("Incident not found")
    for statement in _REST:
        await session.execute(statement, facts)
    return Purged(
        dataset_id,
        document_id,
        revisions=len(revisions),
        contents=contents,
        raw_records=len(raw),
        rejected_records=len(rejected),
    )


async def _remove_unused_contents(session: AsyncSession, facts: dict[str, object], named: Iterable[int]) -> int:
    """With the vectors of their texts; `named` are those that its revisions had."""
    gone = await _unused_of_it(session, facts, named)
    texts = await vectors.hashes_of(session, gone)
    await session.execute(_CONTENTS, {"ids": gone})
    await vectors.forget(session, texts)
    return len(gone)


async def _unused_of_it(session: AsyncSession, facts: dict[str, object], named: Iterable[int]) -> list[int]:
    """Contents that only this incident had.

    Where nobody can tell whose one is, pruning takes it within minutes. While a run may go on nothing is pruned: then
    all contents are looked through, and those are left that the run has read for others.
    """
    if not await pruning.a_run_may_go_on(session, cast(UUID, facts["dataset"]), failed_since=_EVER):
        among = {*named, *await session.scalars(_ITS_OWN, facts)}
        return list(await session.scalars(_UNUSED_AMONG, {**facts, "among": list(among)}))
    unused = {row.hash: row.id for row in await session.execute(_UNUSED, facts)}
    others = set(await session.scalars(_NAMED_BY_OTHERS, {**facts, "hashes": list(unused)})) if unused else set()
    return [id_ for hash_, id_ in unused.items() if hash_ not in others]
