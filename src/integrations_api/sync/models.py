"""Tables of the sync room: runs and the run log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, LargeBinary, Text, func, literal_column
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.connectors.records import Mode
from integrations_api.db.base import Base


class SyncRun(Base):
    """One execution of a sync. This row is the truth; the queue only wakes workers.

    `attempt` is the fencing token: a claim raises it, and every transaction of a run checks it.
    """

    __tablename__ = "sync_runs"
    __table_args__ = (
        CheckConstraint("mode IN ('incremental', 'full')", name="mode"),
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'held')", name="state"),
        CheckConstraint(
            "phase IN ('starting', 'remapping', 'rewriting', 'fetching', 'comparing', 'ingesting', 'publishing', "
            "'done')",
            name="phase",
        ),
        Index(
            "uq_sync_runs_active",
            "integration_id",
            unique=True,
            postgresql_where="state IN ('queued', 'running')",
        ),
        Index("ix_sync_runs_integration", "integration_id", "created_at", "id"),
        Index("ix_sync_runs_dataset", "dataset_id", "created_at", "id"),
        Index("ix_sync_runs_unfinished", "created_at", postgresql_where="state IN ('queued', 'running')"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    integration_id: Mapped[UUID | None] = mapped_column(ForeignKey("integrations.id", ondelete="SET NULL"))
    dataset_id: Mapped[UUID]
    mode: Mapped[Mode] = mapped_column(Text)
    trigger: Mapped[str] = mapped_column(comment="manual, schedule, …")
    requested_by: Mapped[UUID | None]
    state: Mapped[str] = mapped_column(server_default="queued")
    phase: Mapped[str] = mapped_column(server_default="starting")
    attempt: Mapped[int] = mapped_column(server_default="0")
    step: Mapped[int] = mapped_column(
        BigInteger, server_default="0", comment="committed transactions of the engine; tells a retry that it was done"
    )
    handovers: Mapped[int] = mapped_column(server_default="0", comment="attempts that ended by giving the run back")
    worker_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    progress_at: Mapped[datetime | None] = mapped_column(
        comment="of the last committed step; in the future while the source makes us wait"
    )

    fingerprint: Mapped[str | None]
    mapping_version: Mapped[int | None] = mapped_column(comment="of the mapping it was begun with")
    reads_from: Mapped[datetime | None] = mapped_column(comment="an incremental run's lower bound, source time")
    next_watermark: Mapped[datetime | None]
    source_started_at: Mapped[datetime | None] = mapped_column(comment="source time when the run began")
    fetch_state: Mapped[dict[str, Any]] = mapped_column(server_default="{}", comment="cursors by lane")
    warnings: Mapped[list[Any]] = mapped_column(server_default="[]")

    pages: Mapped[int] = mapped_column(server_default="0")
    fetched: Mapped[int] = mapped_column(server_default="0")
    planned: Mapped[int] = mapped_column(server_default="0", comment="new and changed records to ingest")
    ingested: Mapped[int] = mapped_column(server_default="0", comment="position in staged_changes")
    added: Mapped[int] = mapped_column(server_default="0")
    updated: Mapped[int] = mapped_column(server_default="0")
    unchanged: Mapped[int] = mapped_column(server_default="0")
    deleted: Mapped[int] = mapped_column(server_default="0")
    rejected: Mapped[int] = mapped_column(server_default="0")
    version: Mapped[int | None]
    verdict: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    remedy: Mapped[str | None]
    last_event: Mapped[int] = mapped_column(server_default="0", comment="seq of the newest event")


IS_ACTIVE = literal_column("sync_runs.state IN ('queued', 'running')", Boolean)
"""Condition: the run goes on. As parameters its states would be unknown to a plan that a connection keeps, and that
plan could not use the indexes of such runs: it read all runs of a year.
"""


class SyncEvent(Base):
    """One line of the run log, as it is sent: `payload` is the compact JSON of the event's data."""

    __tablename__ = "sync_events"
    __table_args__ = (Index("ix_sync_events_at", "at"),)

    run_id: Mapped[UUID] = mapped_column(ForeignKey("sync_runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str]
    payload: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class StreamTicket(Base):
    """Lets a browser's EventSource, which cannot send a bearer token, watch one run. Stored hashed."""

    __tablename__ = "stream_tickets"
    # For the foreign key: with a dataset a year of runs is deleted, and for each of them all tickets were read.
    __table_args__ = (Index("ix_stream_tickets_run", "run_id"),)

    hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, comment="SHA-256 of the ticket")
    run_id: Mapped[UUID] = mapped_column(ForeignKey("sync_runs.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_generation: Mapped[int] = mapped_column(comment="of the user when it was given out")
    api_key_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), comment="the key it was asked for with; it goes with it"
    )
    expires_at: Mapped[datetime | None] = mapped_column(comment="when the token ends that it was asked for with")
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(comment="first use; later ones are reconnects")
