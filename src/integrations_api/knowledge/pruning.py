"""Taking away what need not be kept, a piece at a time. Every function works in its caller's transaction.

The caller holds the dataset's lock and knows that no run is going on (`datasets.run_after_lock`). A walk starts with
`after` "" and goes on with what it is told, until that is None.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from msgspec import Struct
from msgspec.json import encode
from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.knowledge.staging import NOBODY_GOES_ON
from integrations_api.knowledge.terms import forget_unread

PIECE = 2000
"""Rows that one transaction looks at: tens of milliseconds, a third of a second where all of it goes."""


class Place(Struct, frozen=True):
    """Where a walk stands: in which step of all, and behind what there."""

    step: str
    after: str


class Claimed(Struct, frozen=True):
    """A dataset that the caller is to look after, and where it was left off; None: from the beginning."""

    dataset_id: UUID
    place: Place | None


class Removed(Struct, frozen=True):
    """How many rows a piece of a walk has removed, and where it goes on; None at the end."""

    rows: int
    after: str | None = None


_CLAIM = text("""
    WITH next AS (
        SELECT d.id, d.pruning FROM datasets d
        WHERE coalesce(d.pruned_at NOT BETWEEN :before AND :now, true)
          AND NOT EXISTS (SELECT FROM sync_runs r WHERE r.dataset_id = d.id AND r.state IN ('queued', 'running'))
        ORDER BY d.pruned_at NULLS FIRST LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE datasets d SET pruned_at = :now, pruning = NULL FROM next WHERE d.id = next.id RETURNING d.id, next.pruning
""").columns(pruning=JSONB)


async def claim_dataset(session: AsyncSession, *, now: datetime, before: datetime) -> Claimed | None:
    """A dataset that was last looked after before then, given to one caller only; None when there is none.

    A time that is still to come was written by a machine whose clock was wrong, and would keep it from all others.
    """
    found = (await session.execute(_CLAIM, {"now": now, "before": before})).one_or_none()
    if found is None:
        return None
    return Claimed(found.id, None if found.pruning is None else Place(**found.pruning))


# Whoever wants it looked after at once (a purge) has set `pruned_at` to NULL meanwhile, and wants all of it.
_PUT_OFF = text("""
    UPDATE datasets SET pruned_at = NULL, pruning = CASE WHEN pruned_at IS NOT NULL THEN CAST(:place AS jsonb) END
    WHERE id = :id
""")


async def put_off(session: AsyncSession, dataset_id: UUID, *, place: Place | None) -> None:
    """Lets the dataset be claimed again soon, to go on at that place: something came between."""
    facts = {"id": dataset_id, "place": None if place is None else encode(place).decode()}
    await session.execute(_PUT_OFF, facts)


# What a rollback went back to stays: the rollback names it, and so does whoever asks why.
_PRUNE_VERSIONS = text("""
    UPDATE versions v SET state = 'pruned'
    WHERE v.dataset_id = :dataset AND v.state = 'published'
      AND v.number < (
          SELECT min(number) FROM (
              SELECT number FROM versions WHERE dataset_id = :dataset AND state = 'published'
              ORDER BY number DESC LIMIT :keep
          ) newest)
      AND NOT EXISTS (
          SELECT FROM versions r
          WHERE r.dataset_id = :dataset AND r.source_version = v.number)
    RETURNING number
""")


async def prune_versions(session: AsyncSession, dataset_id: UUID, *, keep: int) -> list[int]:
    """Marks published versions behind the newest `keep` as pruned: from this commit on nobody reads them."""
    found = await session.scalars(_PRUNE_VERSIONS, {"dataset": dataset_id, "keep": keep})
    return sorted(found)


async def has_pruned_versions(session: AsyncSession, dataset_id: UUID) -> bool:
    """Whether any version was ever pruned: else revisions and counts of terms are all needed."""
    statement = text("SELECT EXISTS (SELECT FROM versions WHERE dataset_id = :dataset AND state = 'pruned')")
    return bool(await session.scalar(statement, {"dataset": dataset_id}))


async def _page(session: AsyncSession, statement: TextClause, dataset_id: UUID, after: str) -> tuple[list[Any], bool]:
    """The next keys of a walk, and whether there may be more behind them."""
    found = await session.scalars(statement, {"dataset": dataset_id, "after": after, "piece": PIECE})
    keys = list(found)
    return keys, len(keys) == PIECE


async def _count(session: AsyncSession, statement: TextClause, **facts: object) -> int:
    return cast("CursorResult[Any]", await session.execute(statement, facts)).rowcount


_MAY_GO_ON = text("""
    SELECT EXISTS (SELECT FROM versions v WHERE v.dataset_id = :dataset AND v.state = 'held') OR coalesce((
        SELECT r.state = 'failed' AND r.finished_at > :since FROM sync_runs r
        WHERE r.dataset_id = :dataset ORDER BY r.created_at DESC, r.id DESC LIMIT 1), false)
""")


async def a_run_may_go_on(session: AsyncSession, dataset_id: UUID, *, failed_since: datetime) -> bool:
    """Whether a held version waits for a word, or a run that failed since then may be resumed.

    Such a run has written contents that no revision names yet.
    """
    return bool(await session.scalar(_MAY_GO_ON, {"dataset": dataset_id, "since": failed_since}))


_DOCUMENT_PAGE = text("""
    SELECT external_id FROM documents WHERE dataset_id = :dataset AND external_id > :after
    ORDER BY external_id LIMIT :piece
""")

# A revision is needed when a version that can be read lies within it (`width_bucket` counts the kept versions up to
# a number), or when nothing has ended it below the head. A touched one looks back to the change behind it: that stays
# as well, so that what a kept version says of `change` and `changed_in`, and every diff, stays as it was.
_REVISIONS = text("""
    WITH kept AS (
        SELECT d.head, (
            SELECT coalesce(array_agg(number ORDER BY number), '{}') FROM versions
            WHERE dataset_id = :dataset AND state = 'published') AS numbers
        FROM datasets d WHERE d.id = :dataset
    ), walked AS (
        SELECT r.document_id, r.valid_from,
               max(r.valid_from) FILTER (WHERE r.change <> 'touched')
                 OVER (PARTITION BY r.document_id ORDER BY r.valid_from) AS origin,
               r.valid_to > (SELECT head FROM kept)
                 OR width_bucket(r.valid_to - 1, (SELECT numbers FROM kept))
                    > width_bucket(r.valid_from - 1, (SELECT numbers FROM kept)) AS is_read
        FROM documents d JOIN revisions r ON r.document_id = d.id
        WHERE d.dataset_id = :dataset AND d.external_id = ANY(CAST(:ids AS text[]))
          AND (SELECT head FROM kept) IS NOT NULL
    ), needed AS (
        SELECT document_id, valid_from FROM walked WHERE is_read
        UNION SELECT document_id, origin FROM walked WHERE is_read
    )
    DELETE FROM revisions r USING walked w
    WHERE r.document_id = w.document_id AND r.valid_from = w.valid_from
      AND NOT EXISTS (SELECT FROM needed n WHERE n.document_id = w.document_id AND n.valid_from = w.valid_from)
""")


async def prune_revisions(session: AsyncSession, dataset_id: UUID, after: str) -> Removed:
    """Removes revisions that no kept version reads, of the next documents by external id."""
    ids, more = await _page(session, _DOCUMENT_PAGE, dataset_id, after)
    rows = await _count(session, _REVISIONS, dataset=dataset_id, ids=ids) if ids else 0
    return Removed(rows, ids[-1] if more else None)


_NEVER_SEEN = text("""
    DELETE FROM documents d
    WHERE d.dataset_id = :dataset AND d.external_id = ANY(CAST(:ids AS text[]))
      AND NOT EXISTS (SELECT FROM revisions r WHERE r.document_id = d.id)
""")


async def prune_documents(session: AsyncSession, dataset_id: UUID, after: str, *, failed_since: datetime) -> Removed:
    """Removes documents that only versions knew which were never published; none while a run may go on."""
    if await a_run_may_go_on(session, dataset_id, failed_since=failed_since):
        return Removed(0)
    ids, more = await _page(session, _DOCUMENT_PAGE, dataset_id, after)
    rows = await _count(session, _NEVER_SEEN, dataset=dataset_id, ids=ids) if ids else 0
    return Removed(rows, ids[-1] if more else None)


_CONTENT_PAGE = text("""
    SELECT encode(hash, 'hex') FROM contents WHERE dataset_id = :dataset AND hash > decode(:after, 'hex')
    ORDER BY hash LIMIT :piece
""")
_CONTENTS = text("""
    DELETE FROM contents c
    WHERE c.dataset_id = :dataset AND c.hash > decode(:after, 'hex') AND c.hash <= decode(:last, 'hex')
      AND NOT EXISTS (SELECT FROM revisions r WHERE r.content_id = c.id)
""")


async def prune_contents(session: AsyncSession, dataset_id: UUID, after: str, *, failed_since: datetime) -> Removed:
    """Removes contents that no revision names, of the next ones by hash; none while a run may go on."""
    if await a_run_may_go_on(session, dataset_id, failed_since=failed_since):
        return Removed(0)
    hashes, more = await _page(session, _CONTENT_PAGE, dataset_id, after)
    if not hashes:
        return Removed(0)
    rows = await _count(session, _CONTENTS, dataset=dataset_id, after=after, last=hashes[-1])
    return Removed(rows, hashes[-1] if more else None)


_TERM_PAGE = text("""
    SELECT term FROM term_counts WHERE dataset_id = :dataset AND term > :after GROUP BY term ORDER BY term LIMIT :piece
""")


async def prune_terms(session: AsyncSession, dataset_id: UUID, after: str) -> Removed:
    """Removes counts that no kept version needs, of the next terms."""
    terms, more = await _page(session, _TERM_PAGE, dataset_id, after)
    rows = await forget_unread(session, dataset_id=dataset_id, terms=cast(Sequence[str], terms)) if terms else 0
    return Removed(rows, terms[-1] if more else None)


# The raw records of a run that somebody may go on with are all that it has.
_RAW = text(f"""
    DELETE FROM raw_records w USING (
        SELECT o.run_id, o.external_id, o.seq FROM sync_runs r JOIN raw_records o ON o.run_id = r.id
        WHERE r.dataset_id = :dataset AND r.finished_at < :before AND {NOBODY_GOES_ON}
        LIMIT :piece
    ) old
    WHERE w.run_id = old.run_id AND w.external_id = old.external_id AND w.seq = old.seq
""")  # nosec B608 # noqa: S608 - put together from constants


async def prune_raw(session: AsyncSession, dataset_id: UUID, *, before: datetime, failed_before: datetime) -> Removed:
    """Removes raw records of runs that ended before then (failed ones: also before `failed_before`; held ones: once
    that is decided)."""
    facts = {"before": before, "failed_before": failed_before, "piece": PIECE}
    return _again(await _count(session, _RAW, dataset=dataset_id, **facts))


_REJECTED = text("""
    DELETE FROM rejected_records j USING (
        SELECT run_id, external_id FROM rejected_records
        WHERE dataset_id = :dataset AND resolved AND at < :before LIMIT :piece
    ) old
    WHERE j.run_id = old.run_id AND j.external_id = old.external_id
""")


async def prune_rejected(session: AsyncSession, dataset_id: UUID, *, before: datetime) -> Removed:
    """Removes records that could not be mapped once and that a later run has settled, of before then."""
    return _again(await _count(session, _REJECTED, dataset=dataset_id, before=before, piece=PIECE))


def _again(rows: int) -> Removed:
    return Removed(rows, "" if rows == PIECE else None)
