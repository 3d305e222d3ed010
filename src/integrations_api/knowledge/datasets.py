"""The row of a dataset: its lock, and what it says of the whole. Every function works in its caller's transaction."""

from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


async def ensure(session: AsyncSession, *, integration_id: UUID, service_name: str, mapping_version: int = 1) -> None:
    """Makes the dataset of an integration if there is none, and keeps its name current.

    While nothing is published in it, its contents are yet to be made: by the given mapping.
    """
    await session.execute(
        text("""
            INSERT INTO datasets (id, integration_id, service_name, mapping_version) VALUES (:id, :id, :name, :mapping)
            ON CONFLICT (id) DO UPDATE SET service_name = excluded.service_name, mapping_version =
                CASE WHEN datasets.head IS NULL THEN excluded.mapping_version ELSE datasets.mapping_version END
        """),
        {"id": integration_id, "name": service_name, "mapping": mapping_version},
    )


async def lock(session: AsyncSession, dataset_id: UUID) -> None:
    """Lets decisions about a dataset and new runs come one after the other, until the transaction ends."""
    await session.execute(text("SELECT FROM datasets WHERE id = :id FOR UPDATE"), {"id": dataset_id})


async def run_after_lock(session: AsyncSession, dataset_id: UUID) -> UUID | None:
    """Locks the dataset; then the run that is going on, if there is one.

    Where there is none, none writes anything before the caller's transaction ends: a run's first step takes this lock.
    """
    await lock(session, dataset_id)
    run_id: UUID | None = await session.scalar(
        text("SELECT id FROM sync_runs WHERE dataset_id = :dataset AND state IN ('queued', 'running') LIMIT 1"),
        {"dataset": dataset_id},
    )
    return run_id


async def mapping_of(session: AsyncSession, dataset_id: UUID) -> int | None:
    """Version of the mapping that made the head's contents; None where there is no dataset."""
    found: int | None = await session.scalar(
        text("SELECT mapping_version FROM datasets WHERE id = :dataset"), {"dataset": dataset_id}
    )
    return found


async def mark_mapping(session: AsyncSession, dataset_id: UUID, *, mapping_version: int) -> None:
    """Says by which mapping a dataset was made, where a new mapping makes no difference to it."""
    await session.execute(
        text("UPDATE datasets SET mapping_version = :mapping WHERE id = :dataset"),
        {"dataset": dataset_id, "mapping": mapping_version},
    )


async def count_live(session: AsyncSession, dataset_id: UUID) -> int:
    """Documents live at the head, as the dataset's row has it."""
    found: int | None = await session.scalar(
        text("SELECT documents FROM datasets WHERE id = :dataset"), {"dataset": dataset_id}
    )
    return found or 0


async def save_verdict(session: AsyncSession, *, dataset_id: UUID, verdict: dict[str, object]) -> None:
    """Keeps the verdict of the last run on the dataset."""
    await session.execute(
        text("UPDATE datasets SET verdict = CAST(:verdict AS jsonb) WHERE id = :dataset"),
        {"dataset": dataset_id, "verdict": orjson.dumps(verdict).decode()},
    )


async def note_extent(session: AsyncSession, *, dataset_id: UUID, reads_from: datetime | None) -> datetime | None:
    """Remembers a dataset that was told to begin later than its source; a full run (reads_from None) ends that.

    Returns where it begins, or None when it holds everything.
    """
    begins: datetime | None = await session.scalar(
        text("""
            UPDATE datasets SET partial_since = CASE
                WHEN CAST(:from AS timestamptz) IS NULL THEN NULL
                WHEN head IS NULL THEN least(coalesce(partial_since, :from), :from)
                ELSE partial_since END
            WHERE id = :dataset RETURNING partial_since
        """),
        {"dataset": dataset_id, "from": reads_from},
    )
    return begins
