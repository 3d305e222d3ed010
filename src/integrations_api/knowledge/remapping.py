"""Stored records and the live documents they made, for a mapping that has changed. Works in its caller's transaction.

In the statements 2147483647 is `models.FOREVER`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

NOTE = "The mapping changed, not the source"
"""What a version says that was made by mapping stored records anew."""


class StoredDocument(Struct, frozen=True):
    """A live document, the hash of its content, and the record it was made from, if that is still there."""

    id: UUID
    external_id: str
    hash: bytes
    source_updated_at: datetime | None
    raw: str | None


class StoredPage(Struct, frozen=True):
    """Live documents of a stretch of a dataset, and where the next one begins; None at the end."""

    documents: Sequence[StoredDocument]
    after: str | None


class Remapped(Struct, frozen=True):
    """A live document that reads otherwise under the new mapping, and the hash of the content that it becomes."""

    document: StoredDocument
    number: str
    hash: bytes


# The newest raw record need not be what the live document was made from: after a rollback it is newer than that, and
# would undo it. The same hash proves that it is; the source's own stamp says so where an earlier mapping made the hash.
# Of several (those of earlier runs stay where a held version was published) it is the one that was read last: what the
# mapping of then passed over may be another.
_PAGE = text("""
    SELECT d.id, d.external_id, r.document_id IS NOT NULL AS is_live, c.hash, r.source_updated_at, w.raw
    FROM (
        SELECT id, external_id FROM documents WHERE dataset_id = :dataset AND external_id > :after
        ORDER BY external_id LIMIT :limit
    ) d
    LEFT JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
    LEFT JOIN contents c ON c.id = r.content_id
    LEFT JOIN LATERAL (
        SELECT s.raw FROM raw_records s
        WHERE s.dataset_id = :dataset AND s.external_id = d.external_id AND s.rejection IS NULL
          AND (s.hash = c.hash OR s.source_updated_at = r.source_updated_at)
        ORDER BY s.hash = c.hash DESC, s.source_updated_at IS NOT DISTINCT FROM r.source_updated_at DESC,
                 (SELECT created_at FROM sync_runs WHERE id = s.run_id) DESC, s.seq DESC LIMIT 1
    ) w ON true
    ORDER BY d.external_id
""")


async def page(session: AsyncSession, dataset_id: UUID, *, after: str, limit: int) -> StoredPage:
    """The next live documents by external id, looking at no more than `limit` documents."""
    rows = (await session.execute(_PAGE, {"dataset": dataset_id, "after": after, "limit": limit})).all()
    live = [
        StoredDocument(row.id, row.external_id, row.hash, row.source_updated_at, row.raw) for row in rows if row.is_live
    ]
    return StoredPage(live, rows[-1].external_id if len(rows) == limit else None)


_STAGE = text("""
    INSERT INTO staged_changes
        (run_id, ordinal, document_id, external_id, number, change, content_id, source_updated_at)
    SELECT :run, :first + s.place - 1, s.id, s.external_id, s.number, 'updated', c.id, r.source_updated_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:external AS text[]), CAST(:numbers AS text[]), CAST(:hashes AS bytea[]))
         WITH ORDINALITY AS s(id, external_id, number, hash, place)
    JOIN contents c ON c.dataset_id = :dataset AND c.hash = s.hash
    JOIN revisions r ON r.document_id = s.id AND r.valid_to = 2147483647
""")


async def stage(
    session: AsyncSession, *, run_id: UUID, dataset_id: UUID, first: int, changes: Sequence[Remapped]
) -> None:
    """Plans changes, numbered from `first` on, whose contents are stored; the source's stamps stay as they are."""
    facts: dict[str, Any] = {
        "run": run_id,
        "dataset": dataset_id,
        "first": first,
        "ids": [change.document.id for change in changes],
        "external": [change.document.external_id for change in changes],
        "numbers": [change.number for change in changes],
        "hashes": [change.hash for change in changes],
    }
    await session.execute(_STAGE, facts)


_MADE_BY = text("""
    SELECT d.id, i.service_name, d.mapping_version FROM datasets d
    JOIN integrations i ON i.id = d.integration_id
    JOIN versions v ON v.dataset_id = d.id AND v.number = d.head
    WHERE v.kind <> 'rollback'
""")


async def made_by(session: AsyncSession) -> Sequence[tuple[UUID, str, int]]:
    """(id, service name, mapping version) of datasets that might be mapped anew.

    Not where a rollback is the head: whoever went back to an older mapping wanted it, until the next sync.
    """
    return [(row.id, row.service_name, row.mapping_version) for row in await session.execute(_MADE_BY)]


_AT_REST = text("""
    SELECT d.id FROM datasets d
    WHERE d.id = ANY(CAST(:among AS uuid[]))
      AND NOT EXISTS (SELECT FROM versions h WHERE h.dataset_id = d.id AND h.state = 'held')
      AND NOT EXISTS (SELECT FROM sync_runs s WHERE s.dataset_id = d.id AND s.state IN ('queued', 'running'))
      AND NOT EXISTS (
          SELECT FROM sync_runs s
          WHERE s.dataset_id = d.id AND s.created_at > CAST(:since AS timestamptz) - interval '7 days'
            AND s.trigger = 'remap' AND s.state IN ('failed', 'cancelled') AND s.finished_at > :since)
    ORDER BY d.id LIMIT 1
""")


async def at_rest(session: AsyncSession, among: Sequence[UUID], *, failed_since: datetime) -> UUID | None:
    """One of the datasets with which no run is going on, of which no version is held, and no remap failed since then.

    A remap that was begun a week before that is not looked for: a year has a hundred thousand runs.
    """
    found: UUID | None = await session.scalar(_AT_REST, {"among": list(among), "since": failed_since})
    return found
