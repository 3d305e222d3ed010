"""Questions and statements about integrations. Each works in its caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, column, delete, select, table, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.integrations.models import Integration, IntegrationSecret, OAuthTokens
from integrations_api.knowledge.models import Dataset, RawRecord, RejectedRecord, Revision, StagedChange

# The sync room stands above this one: its table is known here by name only.
_runs = table(
    "sync_runs", column("id", Uuid), column("integration_id", Uuid), column("dataset_id", Uuid), column("state")
)

_running_run_id = (
    select(_runs.c.id)
    .where(_runs.c.integration_id == Integration.id, _runs.c.state.in_(("queued", "running")))
    .correlate(Integration)
    .scalar_subquery()
)

Found = tuple[Integration, UUID | None]
"""An integration and the run that is going on, if there is one."""


async def find(session: AsyncSession, integration_id: UUID, *, lock: bool = False) -> Found | None:
    """An integration by its id; `lock` keeps other edits out until the transaction ends."""
    question = select(Integration, _running_run_id).where(Integration.id == integration_id)
    if lock:
        question = question.with_for_update(of=Integration)
    row = (await session.execute(question.execution_options(populate_existing=True))).one_or_none()
    return None if row is None else (row[0], row[1])


async def newest_first(
    session: AsyncSession, *, limit: int | None = None, after: tuple[datetime, UUID] | None = None
) -> Sequence[Found]:
    """Integrations by their creation, the newest first; `after` is the last row of the page before."""
    question = select(Integration, _running_run_id).order_by(Integration.created_at.desc(), Integration.id.desc())
    if after is not None:
        question = question.where(tuple_(Integration.created_at, Integration.id) < after)
    rows = await session.execute(question.limit(limit))
    return [(row[0], row[1]) for row in rows]


async def lock_active_run(session: AsyncSession, integration_id: UUID) -> UUID | None:
    """Waits for the running run's current step, and holds its next one back; its id, if there is such a run.

    A run locks its own row, then the integration's. Whoever wants both takes them in that order.
    """
    question = select(_runs.c.id).where(
        _runs.c.integration_id == integration_id, _runs.c.state.in_(("queued", "running"))
    )
    return (await session.execute(question.with_for_update())).scalar()


async def secrets_of(session: AsyncSession, integration_id: UUID) -> dict[str, bytes]:
    """Ciphertexts by the JSON pointer of their place in the config."""
    question = select(IntegrationSecret.path, IntegrationSecret.ciphertext).where(
        IntegrationSecret.integration_id == integration_id
    )
    return {row.path: row.ciphertext for row in await session.execute(question)}


async def secret_paths(session: AsyncSession, integration_id: UUID) -> set[str]:
    """Where secrets are stored."""
    question = select(IntegrationSecret.path).where(IntegrationSecret.integration_id == integration_id)
    return set(await session.scalars(question))


async def replace_secrets(
    session: AsyncSession, integration_id: UUID, *, keep: Collection[str], new: Mapping[str, bytes], at: datetime
) -> None:
    """Makes the stored secrets those of `keep` as they are, and the `new` ones."""
    gone = delete(IntegrationSecret).where(
        IntegrationSecret.integration_id == integration_id, IntegrationSecret.path.not_in(keep)
    )
    await session.execute(gone.execution_options(synchronize_session=False))
    if new:
        rows = [
            {"integration_id": integration_id, "path": path, "ciphertext": ciphertext, "set_at": at}
            for path, ciphertext in new.items()
        ]
        await session.execute(insert(IntegrationSecret), rows)


async def drop_tokens(session: AsyncSession, integration_id: UUID) -> None:
    """Forgets the tokens; waits for a renewal that is going on, which is seconds long."""
    statement = delete(OAuthTokens).where(OAuthTokens.integration_id == integration_id)
    await session.execute(statement.execution_options(synchronize_session=False))


async def replace(session: AsyncSession, integration_id: UUID, values: Mapping[str, Any]) -> Integration:
    """Writes all of `values` and gives the row as it is then.

    A statement of its own: the session's unit of work would leave out a config that equals the old one to Python,
    where 1 equals True and the order of keys does not count.
    """
    statement = update(Integration).where(Integration.id == integration_id).values(**values).returning(Integration)
    row = await session.scalar(statement.execution_options(synchronize_session=False, populate_existing=True))
    assert row is not None
    return row


async def remove(session: AsyncSession, integration_id: UUID) -> None:
    """Deletes an integration with its secrets; its runs and its dataset stay, without an integration."""
    await session.execute(delete(Integration).where(Integration.id == integration_id))


async def purge_dataset(session: AsyncSession, dataset_id: UUID) -> None:
    """Deletes everything that syncs left: versions, documents, staged and rejected records, runs and their log."""
    # Revisions by hand and first: the dataset's cascade would meet contents that revisions still point to.
    for kept_by_dataset in (Revision, RawRecord, RejectedRecord):
        await session.execute(delete(kept_by_dataset).where(kept_by_dataset.dataset_id == dataset_id))
    runs = select(_runs.c.id).where(_runs.c.dataset_id == dataset_id)
    await session.execute(delete(StagedChange).where(StagedChange.run_id.in_(runs)))
    await session.execute(delete(Dataset).where(Dataset.id == dataset_id))
    await session.execute(delete(_runs).where(_runs.c.dataset_id == dataset_id))


async def lock_due(session: AsyncSession, *, now: datetime, limit: int) -> list[Integration]:
    """Scheduled integrations whose time has come, locked; those that another process holds are passed over."""
    found = await session.scalars(
        select(Integration)
        .where(Integration.next_sync_at <= now, Integration.is_active, Integration.paused_reason.is_(None))
        .order_by(Integration.next_sync_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(found)
