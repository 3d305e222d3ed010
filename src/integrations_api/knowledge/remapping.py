"""Stored records and the live documents they made, for a mapping that has changed. Works in its caller's transaction.

In the statements 2147483647 is `models.FOREVER`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.records import MappedDocument
from integrations_api.knowledge import terms
from integrations_api.knowledge.documents import as_columns
from integrations_api.knowledge.versions import Chunk, PlanBroken

NOTE = "The mapping changed, not the source"
"""What a version says that was made by mapping stored records anew."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A live document, the hash of its content, and the record it was made from, if that is still there."""

    id: UUID
    external_id: str
    hash: bytes
    source_updated_at: datetime | None
    raw: str | None


@dataclass(frozen=True, slots=True)
class StoredPage:
    """Live documents of a stretch of a dataset, and where the next one begins; None at the end."""

    documents: Sequence[StoredDocument]
    after: str | None


@dataclass(frozen=True, slots=True)
class Remapped:
    """A live document that reads otherwise under the new mapping, and what it becomes."""

    document: StoredDocument
    becomes: MappedDocument


_VECTOR = terms.document_vector_sql(title="w.title", text="w.text", notes="CAST(w.notes AS jsonb)")
_GIVEN = """
    unnest(CAST(:ids AS uuid[]), CAST(:external AS text[]), CAST(:hashes AS bytea[]), CAST(:numbers AS text[]),
           CAST(:titles AS text[]), CAST(:texts AS text[]), CAST(:notes AS text[]), CAST(:attributes AS text[]),
           CAST(:urls AS text[]))
    WITH ORDINALITY AS w(id, external_id, hash, number, title, text, notes, attributes, url, place)
"""

# The newest raw record need not be what the live document was made from: after a rollback it is newer than that, and
# would undo it. The same hash proves that it is; the source's own stamp says so where an earlier mapping made the hash.
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
        ORDER BY s.hash = c.hash DESC, s.seq DESC LIMIT 1
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


_KEEP = text(f"""
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, url, tsv, words)
    SELECT n.*, {terms.WORDS_SQL.format(vector="n.tsv")}
    FROM (
        SELECT DISTINCT ON (w.hash) CAST(:dataset AS uuid), w.hash, w.title, w.text, CAST(w.notes AS jsonb),
               CAST(w.attributes AS jsonb), w.url, {_VECTOR} AS tsv
        FROM {_GIVEN}
        ORDER BY w.hash
    ) n
    ON CONFLICT (dataset_id, hash) DO NOTHING
""")  # noqa: S608 - put together from constants

_STAGE = text(f"""
    INSERT INTO staged_changes (run_id, ordinal, document_id, external_id, number, change, remapped_to)
    SELECT :run, :first + w.place - 1, w.id, w.external_id, w.number, 'updated', c.id
    FROM {_GIVEN}
    JOIN contents c ON c.dataset_id = :dataset AND c.hash = w.hash
""")  # noqa: S608 - put together from constants


async def stage(
    session: AsyncSession, *, run_id: UUID, dataset_id: UUID, first: int, changes: Sequence[Remapped]
) -> None:
    """Stores what documents become, and plans these changes, numbered from `first` on."""
    columns = [as_columns(change.becomes) for change in changes]
    names = ("hashes", "numbers", "titles", "texts", "notes", "attributes", "urls")
    facts: dict[str, Any] = {
        "run": run_id,
        "dataset": dataset_id,
        "first": first,
        "ids": [change.document.id for change in changes],
        "external": [change.document.external_id for change in changes],
        **{name: [column[index] for column in columns] for index, name in enumerate(names)},
    }
    if changes:
        await session.execute(_KEEP, {name: value for name, value in facts.items() if name not in ("run", "first")})
        await session.execute(_STAGE, facts)


_CLOSE = text("""
    UPDATE revisions r SET valid_to = :version FROM staged_changes s
    WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last
      AND r.document_id = s.document_id AND r.valid_to = 2147483647 AND r.valid_from < :version
""")

# The source's stamps stay as they are: nothing has happened there.
_OPEN = text("""
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change, source_updated_at)
    SELECT s.document_id, :version, :dataset, c.id, s.number, 'updated', r.source_updated_at
    FROM staged_changes s
    JOIN contents c ON c.id = s.remapped_to
    JOIN revisions r ON r.document_id = s.document_id AND r.valid_to = :version
    WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last
""")


async def rewrite(session: AsyncSession, chunk: Chunk) -> None:
    """Writes the revisions of planned changes. Raises `PlanBroken` when one did not become a revision."""
    facts = asdict(chunk)
    facts = {"dataset": facts.pop("dataset_id"), "run": facts.pop("run_id"), **facts}
    await session.execute(_CLOSE, {name: value for name, value in facts.items() if name != "dataset"})
    written = cast("CursorResult[Any]", await session.execute(_OPEN, facts))
    if written.rowcount != chunk.last - chunk.first + 1:
        raise PlanBroken(f"Staged changes {chunk.first} to {chunk.last} did not all become revisions")


async def mark(session: AsyncSession, dataset_id: UUID, *, mapping_version: int) -> None:
    """Says by which mapping a dataset was made, where a new mapping makes no difference to it."""
    await session.execute(
        text("UPDATE datasets SET mapping_version = :mapping WHERE id = :dataset"),
        {"dataset": dataset_id, "mapping": mapping_version},
    )


_WAITING = text("""
    SELECT d.id, i.service_name, d.mapping_version FROM datasets d
    JOIN integrations i ON i.id = d.integration_id
    JOIN versions v ON v.dataset_id = d.id AND v.number = d.head
    WHERE v.kind <> 'rollback'
      AND NOT EXISTS (SELECT FROM versions h WHERE h.dataset_id = d.id AND h.state = 'held')
      AND NOT EXISTS (
          SELECT FROM sync_runs s WHERE s.dataset_id = d.id AND (s.state IN ('queued', 'running')
            OR s.trigger = 'remap' AND s.state IN ('failed', 'cancelled') AND s.finished_at > :since))
    ORDER BY d.id
""")


async def datasets_at_rest(session: AsyncSession, *, failed_since: datetime) -> Sequence[tuple[UUID, str, int]]:
    """(id, service name, mapping version) of datasets that might be mapped anew.

    Not while a run is going on or a version is held, not when a remap failed since then, and not where a rollback is
    the head: whoever went back to an older mapping wanted it, until the next sync.
    """
    rows = await session.execute(_WAITING, {"since": failed_since})
    return [(row.id, row.service_name, row.mapping_version) for row in rows]
