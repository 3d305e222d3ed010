"""Which records stand between a dataset and its source, as far as they are known by id.

Every function works in its caller's transaction. In the statements 2147483647 is `models.FOREVER`.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def unmapped(session: AsyncSession, *, dataset_id: UUID, created_until: datetime) -> list[str]:
    """External ids of records, created at the source by then, that could not be mapped, without those of which an
    earlier state is live.
    """
    found = await session.scalars(
        text("""
            SELECT DISTINCT j.external_id FROM rejected_records j
            WHERE j.dataset_id = :dataset AND NOT j.resolved AND coalesce(j.source_created_at <= :until, true)
              AND NOT EXISTS (
                SELECT FROM documents d
                JOIN revisions r ON r.document_id = d.id AND r.valid_to = 2147483647 AND r.change <> 'deleted'
                WHERE d.dataset_id = :dataset AND d.external_id = j.external_id)
        """),
        {"dataset": dataset_id, "until": created_until},
    )
    return list(found)


async def hidden(session: AsyncSession, *, dataset_id: UUID, created_until: datetime) -> list[str]:
    """External ids of documents, created at the source by then, that were seen once and that access rules hide now."""
    found = await session.scalars(
        text("""
            SELECT d.external_id FROM revisions r JOIN documents d ON d.id = r.document_id
            WHERE r.dataset_id = :dataset AND r.valid_to = 2147483647
              AND r.change = 'deleted' AND r.reason = 'no_longer_visible'
              AND coalesce(d.source_created_at <= :until, true)
        """),
        {"dataset": dataset_id, "until": created_until},
    )
    return list(found)
