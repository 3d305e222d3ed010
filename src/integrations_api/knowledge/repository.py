"""Reading datasets, versions and incidents. Every function works in its caller's transaction.

Version v reads revisions with `valid_from <= v < valid_to`. A tombstone is a revision whose change is 'deleted'. A
revision whose change is 'touched' moved the source's time stamp and nothing else: what an incident's last change was
is looked up behind it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from msgspec import Struct
from sqlalchemy import Row, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.direct import Row as DirectRow
from integrations_api.db.engine import Sessions


class IncidentKey(Struct, frozen=True, order=True):
    """Where a listing by number stands; the id tells apart incidents that share a number."""

    number: str
    id: UUID


class ChangeKey(Struct, frozen=True):
    """Where a history stands, and whose it is: between two pages its number may have become another incident's."""

    version: int
    id: UUID


BEGINNING = IncidentKey("", UUID(int=0))
"""Before the first incident of any listing."""


@asynccontextmanager
async def snapshot(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A read-only session whose statements all see one moment: a version undone meanwhile is not half read."""
    async with sessions() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        yield session


_DATASET = """
    SELECT id, integration_id IS NULL AS integration_deleted, service_name, head, documents, tombstones, verdict
    FROM datasets
"""


async def datasets(session: AsyncSession) -> Sequence[Row[Any]]:
    """All datasets, newest first."""
    statement = text(_DATASET + "ORDER BY created_at DESC, id").columns(verdict=JSONB)
    return (await session.execute(statement)).all()


# The integrations room stands above this one: its table is known here by name only.
_NOT_YET_SYNCED = """
    SELECT i.id, false, i.service_name, NULL, 0, 0, NULL FROM integrations i
    WHERE i.id = :dataset AND NOT EXISTS (SELECT FROM datasets d WHERE d.id = i.id)
"""


async def find_dataset(session: AsyncSession, dataset_id: UUID) -> Row[Any] | None:
    """One dataset, or None; that of an integration that was never synced is empty."""
    statement = text(f"{_DATASET} WHERE id = :dataset UNION ALL {_NOT_YET_SYNCED}").columns(verdict=JSONB)
    return (await session.execute(statement, {"dataset": dataset_id})).one_or_none()


_VERSION = """
    SELECT number, state, kind, run_id, parent, source_version, added, updated, deleted, documents,
           created_at, published_at, note
    FROM versions WHERE dataset_id = :dataset
"""
# State by state: a page would be looked for among all that were pruned, tens of thousands of them after a year.
_VERSIONS = text(f"""
    SELECT v.* FROM unnest(ARRAY['published', 'held', 'building']) AS kept (state) CROSS JOIN LATERAL (
        {_VERSION} AND state = kept.state AND number < coalesce(CAST(:below AS integer), 2147483647)
        ORDER BY number DESC LIMIT :limit
    ) v
    ORDER BY number DESC LIMIT :limit
""")  # nosec B608 # noqa: S608 - put together from constants


async def versions(session: AsyncSession, dataset_id: UUID, *, below: int | None, limit: int) -> Sequence[Row[Any]]:
    """Versions that can be read, newest first, from the one before `below` on."""
    return (await session.execute(_VERSIONS, {"dataset": dataset_id, "below": below, "limit": limit})).all()


async def oldest_kept(session: AsyncSession, dataset_id: UUID) -> int | None:
    """The oldest published version that was not pruned."""
    found: int | None = await session.scalar(
        text("SELECT min(number) FROM versions WHERE dataset_id = :dataset AND state = 'published'"),
        {"dataset": dataset_id},
    )
    return found


async def find_version(session: AsyncSession, dataset_id: UUID, number: int) -> Row[Any] | None:
    """One version in whatever state, or None."""
    found = await session.execute(text(_VERSION + "AND number = :number"), {"dataset": dataset_id, "number": number})
    return found.one_or_none()


# What is shown of a revision. The lateral join runs for touched revisions only.
_SHOWN = """
    r.document_id AS id, r.dataset_id, r.number, d.external_id, c.title, c.text, c.notes, c.attributes, c.url,
    r.source_updated_at, coalesce(v.published_at, v.created_at) AS synced_at,
    coalesce(o.change, nullif(r.change, 'touched'), 'added') AS change,
    coalesce(o.valid_from, r.valid_from) AS changed_in, r.reason
"""
_BESIDE = """
    JOIN documents d ON d.id = r.document_id
    JOIN contents c ON c.id = r.content_id
    LEFT JOIN versions v ON v.dataset_id = r.dataset_id AND v.number = r.valid_from
    LEFT JOIN LATERAL (
        SELECT p.change, p.valid_from FROM revisions p
        WHERE r.change = 'touched' AND p.document_id = r.document_id
          AND p.valid_from < r.valid_from AND p.change <> 'touched'
        ORDER BY p.valid_from DESC LIMIT 1
    ) o ON true
"""

MOST_BYTES = 30_000_000
"""Of the texts of a page, as they are stored: where the incidents are that large, it ends after fewer than were asked
for.
"""


def bytes_sql(content: str) -> str:
    """SQL of the size of a content, which reads none of its texts; `content` is the table's alias."""
    return f"(octet_length({content}.text) + pg_column_size({content}.notes) + pg_column_size({content}.attributes))"


_BYTES = bytes_sql("c")

# The limit stands inside, so that a page costs its own length whatever the planner makes of the joins.
_PAGE = text(f"""
    SELECT * FROM (
        SELECT {_SHOWN}, count(*) OVER () AS found,
               sum({_BYTES}) OVER (ORDER BY r.number, r.document_id) - {_BYTES} AS bytes_before
        FROM (
            SELECT * FROM revisions
            WHERE dataset_id = :dataset AND valid_from <= :version AND valid_to > :version
              AND (change <> 'deleted' OR :tombstones)
              AND (number, document_id) > (CAST(:number AS text) COLLATE "C", CAST(:id AS uuid))
            ORDER BY number, document_id LIMIT :limit
        ) r {_BESIDE}
    ) page
    WHERE bytes_before <= :most_bytes
    ORDER BY number, id
""").columns(notes=JSONB, attributes=JSONB)  # nosec B608 # noqa: S608 - put together from constants


async def incidents(
    session: AsyncSession, dataset_id: UUID, version: int, *, after: IncidentKey, limit: int, tombstones: bool = False
) -> Sequence[Row[Any]]:
    """Incidents of a version by number and id, ascending, from the one after `after` on.

    There are as many as each row's `found` says, and fewer rows where they are too large together.
    """
    found = await session.execute(
        _PAGE,
        {
            "most_bytes": MOST_BYTES,
            "dataset": dataset_id,
            "version": version,
            "tombstones": tombstones,
            "number": after.number,
            "id": after.id,
            "limit": limit,
        },
    )
    return found.all()


_ONE = text(f"""
    SELECT {_SHOWN}
    FROM revisions r {_BESIDE}
    WHERE r.document_id = :id AND r.valid_from <= :version AND r.valid_to > :version
""").columns(notes=JSONB, attributes=JSONB)  # nosec B608 # noqa: S608 - put together from constants


async def find_incident(session: AsyncSession, document_id: UUID, version: int) -> Row[Any] | None:
    """One incident (or its tombstone) as it is in a version; None when it is not in it."""
    return (await session.execute(_ONE, {"id": document_id, "version": version})).one_or_none()


# Two, for more than one row means that somebody has to be asked which of them he means.
_AT_HEAD = f"""
    SELECT {_SHOWN}, s.head, w.state
    FROM datasets s
    JOIN revisions r ON r.dataset_id = s.id AND r.number = $1 AND r.valid_from <= s.head AND r.valid_to > s.head
    JOIN versions w ON w.dataset_id = s.id AND w.number = s.head
    {_BESIDE}
    LIMIT 2
"""  # nosec B608 # noqa: S608 - put together from constants


async def find_only(connection: asyncpg.Connection, number: str) -> DirectRow | None:
    """The incident or tombstone of that number in the heads of all datasets, with that `head` and its `state`.

    None where there is none or more than one. One statement, which sees one moment.
    """
    found = await connection.fetch(_AT_HEAD, number, record_class=DirectRow)
    return found[0] if len(found) == 1 else None


_BY_EXTERNAL_ID = text(f"""
    SELECT {_SHOWN}
    FROM datasets s
    JOIN documents d ON d.dataset_id = s.id AND d.external_id = ANY(CAST(:ids AS text[]))
    JOIN revisions r ON r.document_id = d.id AND r.valid_from <= s.head AND r.valid_to > s.head
         AND r.change <> 'deleted'
    {_BESIDE.replace("JOIN documents d ON d.id = r.document_id", "", 1)}
    WHERE s.id = :dataset
""").columns(notes=JSONB, attributes=JSONB)  # nosec B608 # noqa: S608 - put together from constants


async def by_external_id(session: AsyncSession, dataset_id: UUID, ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Those of the incidents with these external ids that are in the head, in no order."""
    return (await session.execute(_BY_EXTERNAL_ID, {"dataset": dataset_id, "ids": list(ids)})).all()


async def find_key(session: AsyncSession, dataset_id: UUID, version: int, document_id: UUID) -> IncidentKey | None:
    """Where an incident stands in the listing of a version; None when it is not in it."""
    number = await session.scalar(
        text("""
            SELECT number FROM revisions
            WHERE document_id = :id AND dataset_id = :dataset AND valid_from <= :version AND valid_to > :version
        """),
        {"id": document_id, "dataset": dataset_id, "version": version},
    )
    return None if number is None else IncidentKey(number, document_id)


# An entry is compared with the one before it: however large they are, two of them come.
_HISTORY = text(f"""
    SELECT * FROM (
        SELECT r.valid_from AS version, coalesce(v.published_at, v.created_at) AS at, v.kind, r.change, r.reason,
               r.number, r.source_updated_at, c.title, c.text, c.notes, c.attributes, c.url,
               count(*) OVER () AS found, row_number() OVER newest_first AS place,
               sum({_BYTES}) OVER newest_first - {_BYTES} AS bytes_before
        FROM (
            SELECT * FROM revisions WHERE document_id = :id AND valid_from <= :upto AND change <> 'touched'
            ORDER BY valid_from DESC LIMIT :limit
        ) r
        JOIN contents c ON c.id = r.content_id
        LEFT JOIN versions v ON v.dataset_id = r.dataset_id AND v.number = r.valid_from
        WINDOW newest_first AS (ORDER BY r.valid_from DESC)
    ) page
    WHERE bytes_before <= :most_bytes OR place <= 2
    ORDER BY version DESC
""").columns(notes=JSONB, attributes=JSONB)  # nosec B608 # noqa: S608 - put together from constants


async def history(session: AsyncSession, document_id: UUID, *, upto: int, limit: int) -> Sequence[Row[Any]]:
    """The content changes of a document, newest first, from the one in or before version `upto` on.

    There are as many as each row's `found` says, and fewer rows where they are too large together.
    """
    facts = {"id": document_id, "upto": upto, "limit": limit, "most_bytes": MOST_BYTES}
    return (await session.execute(_HISTORY, facts)).all()
