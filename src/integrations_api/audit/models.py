"""The audit table."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base


class AuditEntry(Base):
    """Who did what to which object, when, by which credential and from where. Rows are only ever added."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_object", "object_type", "object_id"),
        Index("ix_audit_entries_at", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_id: Mapped[UUID | None]
    actor: Mapped[str] = mapped_column(comment="e-mail of the user, or the process that acted")
    credential: Mapped[str | None] = mapped_column(comment="what the user showed: token:<id>, never the token")
    action: Mapped[str] = mapped_column(comment="integration.create, sync.start, …")
    object_type: Mapped[str]
    object_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    request_id: Mapped[str | None]
    address: Mapped[str | None]
