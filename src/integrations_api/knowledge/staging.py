"""What a run has fetched, before it becomes knowledge: raw records, and the plan of changes made from them.

In the statements 2147483647 is `models.FOREVER`: a revision that nothing has replaced.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from integrations_api.db.engine import Sessions, raw_connection
from integrations_api.knowledge import terms
from integrations_api.knowledge.documents import Row
from integrations_api.knowledge.models import RejectedRecord

COLUMNS = (
    "run_id", "external_id", "seq", "dataset_id", "source_updated_at", "source_created_at", "rejection", "raw",
    "hash", "number",
)  # fmt: skip

MOST_TRIED_AGAIN = 5000
"""Records that could not be mapped and that one run tries again from their stored copy."""
MOST_BYTES_TRIED_AGAIN = 100_000_000
"""Of their JSON, all together: the largest record that is stored fits."""


class Plan(Struct, frozen=True):
    """What a run will do: counts of documents. Only `added` and `updated` make batches."""

    added: int
    updated: int
    touched: int
    deleted: int
    restored: int
    seen: int
    rejected: int

    @property
    def to_ingest(self) -> int:
        """Documents that are named by batch events."""
        return self.added + self.updated

    @property
    def unchanged(self) -> int:
        """Documents read that say what is stored already."""
        return self.seen - self.to_ingest - self.rejected

    @property
    def makes_a_version(self) -> bool:
        """Whether readers would see any difference."""
        return self.to_ingest + self.deleted > 0


class Rejection(Struct, frozen=True):
    """A record that an earlier run could not map: why, and its JSON."""

    external_id: str
    reason: str
    source_updated_at: datetime | None
    source_created_at: datetime | None
    raw: str


async def stage(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Adds rows by COPY. A statement must have been executed in the session's transaction before."""
    if not rows:
        return
    async with raw_connection(session) as driver:
        await driver.copy_records_to_table("raw_records", records=rows, columns=COLUMNS)


async def discard_staged(session: AsyncSession, run_id: UUID) -> None:
    """Forgets the plan of a run; its raw records stay."""
    await session.execute(text("DELETE FROM staged_changes WHERE run_id = :run"), {"run": run_id})


# Batches are in the order of numbers: the same whatever the order in which the source gave its records.
# Of a record that came twice the last one counts, also when that one could not be mapped.
# LATERAL with a LIMIT: each record is looked up by itself. The planner takes what it has no statistics of, a dataset or
# a run, for one row, and went through all of them for each record: 5,000 took half a minute.
_PLAN = text("""
    WITH latest AS (
        SELECT DISTINCT ON (external_id)
               external_id, number, hash, source_updated_at, source_created_at, rejection
        FROM raw_records WHERE run_id = :run ORDER BY external_id, seq DESC
    ), judged AS (
        SELECT l.external_id, l.number, l.source_updated_at, l.source_created_at, c.id AS content_id,
               coalesce(d.id, md5(CAST(:dataset AS uuid)::text || '/' || l.external_id)::uuid) AS document_id,
               CASE WHEN r.document_id IS NULL OR r.change = 'deleted' THEN 'added'
                    WHEN r.content_id IS DISTINCT FROM c.id THEN 'updated'
                    WHEN r.source_updated_at IS DISTINCT FROM l.source_updated_at THEN 'touched' END AS change,
               CASE WHEN r.change = 'deleted' THEN 'restored' END AS reason
        FROM latest l
        LEFT JOIN LATERAL (
            SELECT id FROM contents WHERE dataset_id = :dataset AND hash = l.hash LIMIT 1
        ) c ON true
        LEFT JOIN LATERAL (
            SELECT id FROM documents WHERE dataset_id = :dataset AND external_id = l.external_id LIMIT 1
        ) d ON true
        LEFT JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647
        WHERE l.rejection IS NULL
    )
    INSERT INTO staged_changes
        (run_id, ordinal, document_id, external_id, number, change, reason, content_id,
         source_updated_at, source_created_at)
    SELECT :run, row_number() OVER (ORDER BY change = 'touched', number, external_id),
           document_id, external_id, number, change, reason, content_id, source_updated_at, source_created_at
    FROM judged WHERE change IS NOT NULL
""")

_STAGE_REMOVALS = text("""
    INSERT INTO staged_changes (run_id, ordinal, document_id, external_id, number, change, reason)
    SELECT :run,
           (SELECT coalesce(max(ordinal), 0) FROM staged_changes WHERE run_id = :run)
             + row_number() OVER (ORDER BY r.number, d.external_id),
           d.id, d.external_id, r.number, 'deleted', g.reason
    FROM unnest(CAST(:ids AS text[]), CAST(:reasons AS text[])) AS g(external_id, reason)
    JOIN documents d ON d.dataset_id = :dataset AND d.external_id = g.external_id
    JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
    WHERE NOT EXISTS (
        SELECT FROM raw_records w WHERE w.run_id = :run AND w.external_id = g.external_id AND w.seq >= 0
    )
""")

# Below zero stand the stored copies of what could not be mapped before: no sign that the source still has it.
_FORGET_COPIES = text("""
    DELETE FROM raw_records WHERE run_id = :run AND seq < 0 AND external_id = ANY(CAST(:ids AS text[]))
""")
_RESOLVE_GONE = text("""
    UPDATE rejected_records r SET resolved = true, raw = ''
    WHERE r.dataset_id = :dataset AND NOT r.resolved AND r.external_id = ANY(CAST(:ids AS text[]))
      AND NOT EXISTS (SELECT FROM raw_records w WHERE w.run_id = :run AND w.external_id = r.external_id)
""")

_REJECTIONS = text("""
    INSERT INTO rejected_records
        (run_id, external_id, dataset_id, number, reason, source_updated_at, source_created_at, raw)
    SELECT run_id, external_id, dataset_id, number, rejection, source_updated_at, source_created_at, raw
    FROM raw_records w
    WHERE w.run_id = :run AND w.rejection IS NOT NULL AND NOT EXISTS (
        SELECT FROM raw_records later
        WHERE later.run_id = w.run_id AND later.external_id = w.external_id AND later.seq > w.seq
    )
    ON CONFLICT (run_id, external_id) DO NOTHING
""")

_COUNTS = text("""
    SELECT count(*) FILTER (WHERE change = 'added') AS added,
           count(*) FILTER (WHERE change = 'updated') AS updated,
           count(*) FILTER (WHERE change = 'touched') AS touched,
           count(*) FILTER (WHERE change = 'deleted') AS deleted,
           count(*) FILTER (WHERE reason = 'restored') AS restored,
           (SELECT count(DISTINCT external_id) FROM raw_records WHERE run_id = :run) AS seen,
           (SELECT count(*) FROM rejected_records WHERE run_id = :run) AS rejected
    FROM staged_changes WHERE run_id = :run
""")


async def plan(session: AsyncSession, *, run_id: UUID, dataset_id: UUID, gone: Sequence[tuple[str, str]] = ()) -> Plan:
    """Compares what was fetched with the live documents and stages the difference.

    `gone` are (external id, reason) of documents confirmed to have vanished; one that was fetched by this
    run lives and is left alone.
    """
    facts = {"run": run_id, "dataset": dataset_id}
    await discard_staged(session, run_id)
    ids, reasons = [one for one, _ in gone], [reason for _, reason in gone]
    if gone:
        await session.execute(_FORGET_COPIES, {"run": run_id, "ids": ids})
        await session.execute(_RESOLVE_GONE, {**facts, "ids": ids})
    await session.execute(_PLAN, facts)
    if gone:
        await session.execute(_STAGE_REMOVALS, {**facts, "ids": ids, "reasons": reasons})
    await session.execute(_REJECTIONS, facts)
    return await planned(session, run_id)


_SPOKEN = terms.spoken_sql("w.notes")

# Release 0.1 kept the mapped columns in raw_records and wrote contents from them while ingesting.
_ADOPT = (
    text(f"""
        INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, url, tsv, words)
        SELECT n.*, {terms.WORDS_SQL.format(vector="n.tsv")}
        FROM (
            SELECT DISTINCT ON (w.hash) w.dataset_id, w.hash, w.title, w.text, w.notes, w.attributes, w.url,
                   {terms.document_vector_sql(title="w.title", text="w.text", spoken=_SPOKEN)} AS tsv
            FROM raw_records w WHERE w.run_id = :run AND w.title IS NOT NULL ORDER BY w.hash
        ) n
        ON CONFLICT (dataset_id, hash) DO NOTHING
    """),  # nosec B608 # noqa: S608 - put together from constants
    text("""
        UPDATE staged_changes s
        SET content_id = c.id, source_updated_at = w.source_updated_at, source_created_at = w.source_created_at
        FROM raw_records w JOIN contents c ON c.dataset_id = w.dataset_id AND c.hash = w.hash
        WHERE s.run_id = :run AND s.content_id IS NULL AND s.change <> 'deleted'
          AND w.run_id = s.run_id AND w.external_id = s.external_id AND w.seq = s.seq
    """),
)


async def adopt(session: AsyncSession, run_id: UUID) -> None:
    """Makes a run that a worker of release 0.1 began one that this release can go on with; others are left alone."""
    for statement in _ADOPT:
        await session.execute(statement, {"run": run_id})


async def planned(session: AsyncSession, run_id: UUID) -> Plan:
    """The plan of a run, as it was staged."""
    counts = (await session.execute(_COUNTS, {"run": run_id})).one()
    return Plan(**counts._mapping)


async def count_staged(session: AsyncSession, run_id: UUID, *, after: int) -> int:
    """How many changes of a plan are there behind a position; a purge takes its incident's away."""
    statement = text("SELECT count(*) FROM staged_changes WHERE run_id = :run AND ordinal > :after")
    return int(await session.scalar(statement, {"run": run_id, "after": after}) or 0)


async def unseen_documents(
    session: AsyncSession, *, run_id: UUID, dataset_id: UUID, created_until: datetime | None
) -> list[str]:
    """External ids of live documents, created at the source before then, that this run did not fetch."""
    # EXCEPT sorts or hashes each side once. NOT EXISTS was a minute's nested loop on 20,000 rows that had just been
    # loaded: the planner has no statistics of them yet.
    found = await session.execute(
        text("""
            SELECT d.external_id FROM documents d
            JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
            WHERE d.dataset_id = :dataset AND coalesce(d.source_created_at <= :until, true)
            EXCEPT
            SELECT w.external_id FROM raw_records w WHERE w.run_id = :run AND w.seq >= 0
        """),
        {"run": run_id, "dataset": dataset_id, "until": created_until},
    )
    return list(found.scalars())


async def unread_rejections(session: AsyncSession, run_id: UUID) -> list[str]:
    """External ids of records that this run tries again from their stored copy and did not fetch."""
    found = await session.execute(
        text("SELECT external_id FROM raw_records WHERE run_id = :run GROUP BY external_id HAVING max(seq) < 0"),
        {"run": run_id},
    )
    return list(found.scalars())


async def numbers_of(session: AsyncSession, *, dataset_id: UUID, external_ids: Sequence[str]) -> dict[str, str]:
    """The numbers of those of the given external ids that are live documents of the dataset."""
    found = await session.execute(
        text("""
            SELECT d.external_id, r.number FROM documents d
            JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
            WHERE d.dataset_id = :dataset AND d.external_id = ANY(CAST(:ids AS text[]))
        """),
        {"dataset": dataset_id, "ids": list(external_ids)},
    )
    return {row.external_id: row.number for row in found}


async def open_rejections(session: AsyncSession, dataset_id: UUID) -> list[Rejection]:
    """Records that earlier runs could not map, to be tried again: those first that have waited longest, so many in one
    run, and so large ones together, the rest later.
    """
    found = await session.execute(
        text("""
            SELECT external_id, reason, source_updated_at, source_created_at, raw FROM (
                SELECT *, sum(octet_length(raw)) OVER (ORDER BY at, external_id) AS bytes FROM (
                    SELECT DISTINCT ON (external_id) * FROM rejected_records
                    WHERE dataset_id = :dataset AND NOT resolved ORDER BY external_id, at DESC
                ) newest
            ) measured WHERE bytes <= :bytes ORDER BY at, external_id LIMIT :limit
        """),
        {"dataset": dataset_id, "limit": MOST_TRIED_AGAIN, "bytes": MOST_BYTES_TRIED_AGAIN},
    )
    return [Rejection(**row._mapping) for row in found]


async def rejections_of(session: AsyncSession, *, run_id: UUID, after: str, limit: int) -> list[RejectedRecord]:
    """Records a run could not map, by external id, without their JSON: a thousand of them may be megabytes each."""
    found = await session.scalars(
        select(RejectedRecord)
        .options(defer(RejectedRecord.raw, raiseload=True))
        .where(RejectedRecord.run_id == run_id, RejectedRecord.external_id > after)
        .order_by(RejectedRecord.external_id)
        .limit(limit)
    )
    return list(found)


_RAW_TEXTS = 500
"""Raw records in memory at a time."""


async def raw_texts(sessions: Sessions, run_id: UUID) -> AsyncGenerator[str, None]:
    """The raw JSON of every record that a run fetched, by external id, in flat memory and short transactions."""
    after = ("", -1)
    while True:
        async with sessions() as session:
            found = await session.execute(
                text("""
                    SELECT external_id, seq, raw FROM raw_records
                    WHERE run_id = :run AND (external_id, seq) > (CAST(:id AS text) COLLATE "C", :seq) AND seq >= 0
                    ORDER BY external_id, seq LIMIT :chunk
                """),
                {"run": run_id, "id": after[0], "seq": after[1], "chunk": _RAW_TEXTS},
            )
            rows = found.all()
        for row in rows:
            yield row.raw
        if len(rows) < _RAW_TEXTS:
            return
        after = (rows[-1].external_id, rows[-1].seq)


NOBODY_GOES_ON = """
    (r.state IN ('succeeded', 'cancelled') OR r.state = 'failed' AND r.finished_at < :failed_before
     OR r.state = 'held' AND NOT EXISTS (
        SELECT FROM versions v WHERE v.dataset_id = r.dataset_id AND v.number = r.version AND v.state = 'held'))
"""
"""SQL of whether what a run (r) has read and planned is needed no more: one that failed may be resumed for a while, and
a held one waits for a word. Once its version was discarded it waits for nothing, and stays held."""
_SPENT_PLANS = text(f"DELETE FROM staged_changes s USING sync_runs r WHERE r.id = s.run_id AND {NOBODY_GOES_ON}")  # nosec B608 # noqa: S608 - put together from constants


async def drop_plans_of_ended_runs(session: AsyncSession, *, failed_before: datetime) -> None:
    """Forgets plans that nobody will carry out; a held one waits for its decision, a failed one for a while."""
    await session.execute(_SPENT_PLANS, {"failed_before": failed_before})


# Not all runs of a year: what one of the last has left that could not tidy up, the next one takes.
_IN_VAIN = text("""
    SELECT id FROM (
        SELECT id, state FROM sync_runs
        WHERE dataset_id = :dataset AND created_at < (SELECT created_at FROM sync_runs WHERE id = :run)
        ORDER BY created_at DESC LIMIT 100
    ) before WHERE state IN ('failed', 'cancelled', 'held')
""")


async def drop_superseded_raw(session: AsyncSession, *, run_id: UUID, dataset_id: UUID) -> None:
    """Keeps one raw record for each document: the newest. What a later run has read stays, however late this comes.

    What earlier runs have read that did not succeed goes too: nobody resumes one behind which another has begun, and
    each live document has the record of one that did. They are looked up one by one, as in `_PLAN`.
    """
    in_vain = (await session.scalars(_IN_VAIN, {"run": run_id, "dataset": dataset_id})).all()
    if in_vain:
        await session.execute(text("DELETE FROM raw_records WHERE run_id = ANY(:runs)"), {"runs": in_vain})
    await session.execute(
        text("""
            DELETE FROM raw_records WHERE ctid = ANY(ARRAY(
                SELECT old.ctid FROM raw_records new CROSS JOIN LATERAL (
                    SELECT ctid, run_id FROM raw_records
                    WHERE dataset_id = :dataset AND external_id = new.external_id
                      AND (run_id <> :run OR seq < new.seq)
                    OFFSET 0
                ) old
                WHERE new.run_id = :run AND old.run_id <> ALL(ARRAY(
                    SELECT later.id FROM sync_runs later
                    WHERE later.dataset_id = :dataset
                      AND later.created_at > (SELECT created_at FROM sync_runs WHERE id = :run)))
            ))
        """),
        {"run": run_id, "dataset": dataset_id},
    )
    await discard_staged(session, run_id)
