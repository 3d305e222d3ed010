"""Building, publishing and undoing versions. Every function works in its caller's transaction.

Version v reads revisions with `valid_from <= v < valid_to`. A version is built beside what readers of the head
see: its revisions begin above the head, and publishing moves the head. In the statements 2147483647 is
`models.FOREVER`.
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from msgspec import Struct
from sqlalchemy import CursorResult, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.knowledge import datasets, terms
from integrations_api.knowledge.models import Version
from integrations_api.knowledge.staging import Plan


async def undo_unpublished(session: AsyncSession, dataset_id: UUID) -> int | None:
    """Takes back whatever a crashed, failed or held run left above the head. Nothing to do is cheap.

    Gives the number of the version that waited for somebody's word, if there was one.
    """
    facts: dict[str, object] = {"dataset": dataset_id}
    head = await session.scalar(text("SELECT coalesce(head, 0) FROM datasets WHERE id = :dataset FOR UPDATE"), facts)
    facts["head"] = head
    await session.execute(text("DELETE FROM revisions WHERE dataset_id = :dataset AND valid_from > :head"), facts)
    await session.execute(
        text("""
            UPDATE revisions SET valid_to = 2147483647
            WHERE dataset_id = :dataset AND valid_to > :head AND valid_to < 2147483647
        """),
        facts,
    )
    undone = await session.execute(
        text("""
            UPDATE versions v SET state = 'abandoned'
            FROM (SELECT number, state FROM versions WHERE dataset_id = :dataset AND number > :head) AS before
            WHERE v.dataset_id = :dataset AND v.number = before.number AND before.state IN ('building', 'held')
            RETURNING v.number, before.state
        """),
        facts,
    )
    return max((row.number for row in undone if row.state == "held"), default=None)


async def begin_version(
    session: AsyncSession,
    *,
    dataset_id: UUID,
    kind: str,
    run_id: UUID | None,
    note: str | None = None,
    source_version: int | None = None,
    mapping_version: int | None = None,
) -> int:
    """Draws the next number and writes the version down as building.

    Its mapping is that of the version it goes back to, or else of the dataset, where no other is given. It is dated
    now, not at the beginning of a transaction that may have waited for the dataset: see `rolled_back_since`.
    """
    number: int | None = await session.scalar(
        text("""
            WITH drawn AS (
                UPDATE datasets SET last_version = last_version + 1 WHERE id = :dataset
                RETURNING last_version, head, mapping_version
            )
            INSERT INTO versions
                (dataset_id, number, state, kind, run_id, parent, note, source_version, mapping_version, created_at)
            SELECT :dataset, last_version, 'building', :kind, :run, head, :note, :source, coalesce(
                CAST(:mapping AS integer),
                (SELECT v.mapping_version FROM versions v WHERE v.dataset_id = :dataset AND v.number = :source),
                mapping_version), clock_timestamp()
            FROM drawn RETURNING number
        """),
        {
            "dataset": dataset_id,
            "kind": kind,
            "run": run_id,
            "note": note,
            "source": source_version,
            "mapping": mapping_version,
        },
    )
    assert number is not None
    return number


class PlanBroken(Exception):
    """What was staged is not there any more: a version made from the rest would lose documents in silence."""


class Chunk(Struct, frozen=True):
    """Staged changes first..last (ordinals, both included) that go into a version in one transaction."""

    dataset_id: UUID
    run_id: UUID
    version: int
    first: int
    last: int

    @property
    def before(self) -> int:
        """How many changes come before it."""
        return self.first - 1

    def __len__(self) -> int:
        return self.last - self.before


_DOCUMENTS = text("""
    INSERT INTO documents (id, dataset_id, external_id, source_created_at)
    SELECT s.document_id, :dataset, s.external_id, s.source_created_at
    FROM staged_changes s
    WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last AND s.change = 'added'
    ON CONFLICT (id) DO NOTHING
""")

_CLOSE = text("""
    UPDATE revisions r SET valid_to = :version FROM staged_changes s
    WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last
      AND r.document_id = s.document_id AND r.valid_to = 2147483647 AND r.valid_from < :version
""")

# The join with contents finds out whether what the plan named is still there.
_OPEN = text("""
    INSERT INTO revisions
        (document_id, valid_from, dataset_id, content_id, number, change, source_updated_at)
    SELECT s.document_id, :version, :dataset, c.id, s.number, s.change, s.source_updated_at
    FROM staged_changes s JOIN contents c ON c.id = s.content_id
    WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last AND s.change <> 'deleted'
""")

# With the version's number as a constant the planner would go, for each document, through all that the version has
# ended: 6 s for a thousand documents where 20,000 vanish.
_BURY = text("""
    INSERT INTO revisions
        (document_id, valid_from, dataset_id, content_id, number, change, reason, source_updated_at)
    SELECT s.document_id, :version, :dataset, r.content_id, r.number, 'deleted', s.reason, r.source_updated_at
    FROM staged_changes s CROSS JOIN (SELECT CAST(:version AS integer) AS number OFFSET 0) v
    JOIN revisions r ON r.document_id = s.document_id AND r.valid_to = v.number
    WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last AND s.change = 'deleted'
""")


async def keep_documents(session: AsyncSession, chunk: Chunk) -> None:
    """Writes the documents that a chunk adds. Nobody sees one before a revision names it; twice does no harm."""
    facts = {"dataset": chunk.dataset_id, "run": chunk.run_id, "first": chunk.first, "last": chunk.last}
    await session.execute(_DOCUMENTS, facts)


async def ingest(session: AsyncSession, chunk: Chunk) -> list[str]:
    """Writes the revisions of a chunk whose documents are kept; returns the numbers of added and updated documents, in
    order.

    Raises `PlanBroken` when a staged change did not become a revision.
    """
    facts = {
        "dataset": chunk.dataset_id,
        "run": chunk.run_id,
        "version": chunk.version,
        "first": chunk.first,
        "last": chunk.last,
    }
    await session.execute(_CLOSE, facts)
    written = [await session.execute(statement, facts) for statement in (_OPEN, _BURY)]
    if sum(cast("CursorResult[Any]", result).rowcount for result in written) != len(chunk):
        raise PlanBroken(f"Staged changes {chunk.first} to {chunk.last} did not all become revisions")
    numbers = await session.execute(
        text(
            """
            SELECT s.number FROM staged_changes s
            WHERE s.run_id = :run AND s.ordinal BETWEEN :first AND :last AND s.change IN ('added', 'updated')
            ORDER BY s.ordinal
            """
        ),
        facts,
    )
    return list(numbers.scalars())


async def publish(session: AsyncSession, *, dataset_id: UUID, version: int, plan: Plan, at: datetime) -> None:
    """Makes a built version the head: from this commit on every reader sees it."""
    await session.execute(
        text("""
            WITH moved AS (
                UPDATE datasets
                SET head = :version, documents = documents + :added - :deleted,
                    tombstones = tombstones + :deleted - :restored,
                    mapping_version = (
                        SELECT mapping_version FROM versions WHERE dataset_id = :dataset AND number = :version)
                WHERE id = :dataset RETURNING documents
            )
            UPDATE versions
            SET state = 'published', published_at = :at, added = :added, updated = :updated, deleted = :deleted,
                documents = moved.documents
            FROM moved WHERE dataset_id = :dataset AND number = :version
        """),
        {
            "dataset": dataset_id,
            "version": version,
            "at": at,
            "added": plan.added,
            "updated": plan.updated,
            "deleted": plan.deleted,
            "restored": plan.restored,
        },
    )
    await terms.count_version(session, dataset_id=dataset_id, version=version)


# In this order: what begins with the head moves in place, what began before it is closed there, and what has no live
# revision then is opened again. `OFFSET 0` as in `_BURY`.
_TOUCH = (
    text("""
        UPDATE revisions r SET source_updated_at = s.source_updated_at
        FROM staged_changes s, datasets d
        WHERE s.run_id = :run AND s.change = 'touched' AND r.document_id = s.document_id AND r.valid_to = 2147483647
          AND d.id = r.dataset_id AND r.valid_from = d.head
    """),
    text("""
        UPDATE revisions r SET valid_to = d.head
        FROM staged_changes s, datasets d
        WHERE s.run_id = :run AND s.change = 'touched' AND r.document_id = s.document_id AND r.valid_to = 2147483647
          AND d.id = r.dataset_id AND r.valid_from < d.head
    """),
    text("""
        INSERT INTO revisions
            (document_id, valid_from, dataset_id, content_id, number, change, source_updated_at)
        SELECT s.document_id, d.head, r.dataset_id, r.content_id, r.number, 'touched', s.source_updated_at
        FROM staged_changes s CROSS JOIN (SELECT id, head FROM datasets WHERE id = :dataset OFFSET 0) d
        JOIN revisions r ON r.document_id = s.document_id AND r.valid_to = d.head
        WHERE s.run_id = :run AND s.change = 'touched'
          AND NOT EXISTS (SELECT FROM revisions l WHERE l.document_id = s.document_id AND l.valid_to = 2147483647)
    """),
)


async def touch_head(session: AsyncSession, *, run_id: UUID, dataset_id: UUID) -> None:
    """Moves the source's time stamps of a run that makes no version: in the head alone, and nothing else of it."""
    for statement in _TOUCH:
        await session.execute(statement, {"run": run_id, "dataset": dataset_id})


async def settle_rejections(session: AsyncSession, *, run_id: UUID, dataset_id: UUID) -> None:
    """Closes earlier rejections of records that this run has read again; its own stay open.

    Their copies go: one of each run would be kept of what can never be mapped, and only open ones are tried again.
    """
    await session.execute(
        text("""
            UPDATE rejected_records old SET resolved = true, raw = ''
            WHERE old.dataset_id = :dataset AND NOT old.resolved AND old.run_id <> :run
              AND EXISTS (SELECT FROM raw_records w WHERE w.run_id = :run AND w.external_id = old.external_id)
        """),
        {"run": run_id, "dataset": dataset_id},
    )


async def hold(session: AsyncSession, *, dataset_id: UUID, version: int, plan: Plan) -> None:
    """Sets a built version aside for an admin's word; readers stay on the one before."""
    await session.execute(
        text("""
            UPDATE versions SET state = 'held', added = :added, updated = :updated, deleted = :deleted
            WHERE dataset_id = :dataset AND number = :version
        """),
        {
            "dataset": dataset_id,
            "version": version,
            "added": plan.added,
            "updated": plan.updated,
            "deleted": plan.deleted,
        },
    )


async def lock_version(session: AsyncSession, *, dataset_id: UUID, number: int) -> Version | None:
    """A version's row, locked with its dataset."""
    await datasets.lock(session, dataset_id)
    return await session.scalar(
        select(Version).where(Version.dataset_id == dataset_id, Version.number == number).with_for_update()
    )


async def is_being_built(session: AsyncSession, *, dataset_id: UUID, number: int) -> bool:
    """Whether a version may still be written: whatever came after it has abandoned it."""
    statement = text("SELECT state = 'building' FROM versions WHERE dataset_id = :dataset AND number = :number")
    return bool(await session.scalar(statement, {"dataset": dataset_id, "number": number}))


async def rolled_back_since(session: AsyncSession, dataset_id: UUID, moment: datetime) -> bool:
    """Whether the dataset was rolled back since then: what was built or read before is of no use after that."""
    # Not all versions: those behind the newest that is an hour older, for numbers are drawn within a transaction.
    statement = text("""
        SELECT EXISTS (
            SELECT FROM versions WHERE dataset_id = :dataset AND kind = 'rollback' AND created_at >= :moment
              AND number > coalesce((
                SELECT max(number) FROM versions
                WHERE dataset_id = :dataset AND created_at < CAST(:moment AS timestamptz) - interval '1 hour'), 0))
    """)
    return bool(await session.scalar(statement, {"dataset": dataset_id, "moment": moment}))


async def refresh_statistics(session: AsyncSession) -> None:
    """Tells the planner what the tables hold now, but for one that is being vacuumed.

    To wait for that would end it where PostgreSQL has begun it by itself: a large table would never be vacuumed.
    """
    await session.execute(text("ANALYZE (SKIP_LOCKED) documents, revisions, contents, raw_records"))


async def count_live_until(session: AsyncSession, *, dataset_id: UUID, created_until: datetime) -> int:
    """How many documents are live now (built ones included), created at the source at or before then.

    All less the few that came later: to join all of them with their documents took five times as long. Reads all
    revisions of the dataset, those of a year, or the live ones of all datasets.
    """
    found: int | None = await session.scalar(
        text("""
            SELECT (
                SELECT count(*) FROM revisions
                WHERE dataset_id = :dataset AND valid_to = 2147483647 AND change <> 'deleted'
            ) - (
                SELECT count(*) FROM documents d
                JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
                WHERE d.dataset_id = :dataset AND d.source_created_at > :until
            )
        """),
        {"dataset": dataset_id, "until": created_until},
    )
    return found or 0


async def count_head_until(session: AsyncSession, *, dataset_id: UUID, created_until: datetime) -> int:
    """The same while nothing is built upon the head, by what the dataset's row says: no revisions are read but of what
    came later.
    """
    found: int | None = await session.scalar(
        text("""
            SELECT documents - (
                SELECT count(*) FROM documents late
                JOIN revisions r ON r.document_id = late.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
                WHERE late.dataset_id = :dataset AND late.source_created_at > :until
            ) FROM datasets WHERE id = :dataset
        """),
        {"dataset": dataset_id, "until": created_until},
    )
    return found or 0
