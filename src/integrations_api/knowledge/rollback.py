"""Rolling back: a new version that equals an older one in content, made from the difference alone.

Works in its caller's transaction, between `versions.begin_version` (kind 'rollback', `source_version`) and
`versions.publish`, on a dataset that nothing is being built upon (`versions.undo_unpublished` first). In the
statements 2147483647 is `models.FOREVER`.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.errors import Conflict
from integrations_api.knowledge.diffing import DIFFERENT
from integrations_api.knowledge.lookup import no_longer_kept
from integrations_api.knowledge.staging import Plan

ROLLED_BACK = "rolled back"
"""Reason of a tombstone for a document that the older version did not know."""

# The head is `base`. The ids make a round trip, so that the planner knows how many there are: its guess of what lies
# between two versions would have the whole table read.
_DIFFERENT = text(f"WITH {DIFFERENT} SELECT document_id FROM different")  # nosec B608 # noqa: S608 - put together from constants

_CLOSE = text("""
    UPDATE revisions SET valid_to = :number
    WHERE document_id = ANY(CAST(:ids AS uuid[])) AND valid_to = 2147483647
""")

# A statement of its own: within one, the new live revision could meet the old one in the unique index.
# A document that was a tombstone then is one again, as it was; one that was not known yet becomes one now.
_OPEN = text("""
    INSERT INTO revisions
        (document_id, valid_from, dataset_id, content_id, number, change, reason, source_updated_at)
    SELECT h.document_id, :number, :dataset, coalesce(t.content_id, h.content_id), coalesce(t.number, h.number),
           CASE WHEN coalesce(t.change, 'deleted') = 'deleted' THEN 'deleted'
                WHEN h.change = 'deleted' THEN 'added' ELSE 'updated' END,
           CASE WHEN t.document_id IS NULL THEN :reason WHEN t.change = 'deleted' THEN t.reason END,
           coalesce(t.source_updated_at, h.source_updated_at)
    FROM revisions h
    LEFT JOIN revisions t
           ON t.document_id = h.document_id AND t.valid_from <= :version AND t.valid_to > :version
    WHERE h.dataset_id = :dataset AND h.valid_to = :number
    RETURNING change
""")

_STATE = text("""
    SELECT d.head, v.state,
           (SELECT max(r.valid_from) FROM revisions r WHERE r.dataset_id = d.id) > d.head AS is_built_upon
    FROM datasets d LEFT JOIN versions v ON v.dataset_id = d.id AND v.number = :version
    WHERE d.id = :dataset FOR UPDATE OF d
""")


async def roll_back(session: AsyncSession, *, dataset_id: UUID, to_version: int, new_number: int) -> Plan:
    """Writes the revisions of version `new_number` so that it equals `to_version`; returns the counts to publish.

    The cost follows the difference between the head and `to_version`. Counts that are all zero say that the two
    read the same already: nothing was written, and there is nothing to publish. Raises `Conflict` when
    `to_version` was not published before the head, or when something unpublished lies above the head; `NotFound` for a
    version that was pruned.
    """
    head = await _head(session, dataset_id, to_version)
    facts = {"dataset": dataset_id, "base": head, "version": to_version, "number": new_number, "reason": ROLLED_BACK}
    different = await session.scalars(_DIFFERENT, facts)
    await session.execute(_CLOSE, {**facts, "ids": list(different)})
    opened = await session.execute(_OPEN, facts)
    changes = list(opened.scalars())
    added, updated, deleted = (changes.count(kind) for kind in ("added", "updated", "deleted"))
    # What was added had a tombstone: a document that the head knows nothing of was not there before it either.
    return Plan(
        added=added, updated=updated, touched=0, deleted=deleted, restored=added, seen=added + updated, rejected=0
    )


async def _head(session: AsyncSession, dataset_id: UUID, to_version: int) -> int:
    found = (await session.execute(_STATE, {"dataset": dataset_id, "version": to_version})).one_or_none()
    if found is None or found.head is None:
        raise Conflict("There is nothing to roll back: no version has been published")
    if found.state == "pruned":
        raise await no_longer_kept(session, dataset_id, to_version)
    if found.state != "published":
        raise Conflict(f"Version {to_version} was never published: choose one that was")
    if to_version >= found.head:
        raise Conflict(f"Version {to_version} is what readers see already: choose an earlier one")
    if found.is_built_upon:
        raise Conflict(f"A version is being built upon version {found.head}: wait for it, or discard it")
    head: int = found.head
    return head
