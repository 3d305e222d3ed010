"""The audit and its seals. A migration of its own adds triggers: rows of both are only ever added."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, LargeBinary, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base


class AuditEntry(Base):
    """Who did what to which object, when, by which credential and from where. Rows are only ever added."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_object", "object_type", "object_id"),
        Index("ix_audit_entries_at", "at"),
        # Nearly all entries are of syncs, by workers: what people did would be looked for among all of them.
        Index("ix_audit_entries_action", "action", "id"),
        Index("ix_audit_entries_actor", "actor", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_id: Mapped[UUID | None]
    actor: Mapped[str] = mapped_column(comment="e-mail of the user, or the process that acted")
    credential: Mapped[str | None] = mapped_column(comment="token:<id>, key:<id> or ticket:<hash>, never the thing")
    action: Mapped[str] = mapped_column(comment="integration.create, sync.start, …")
    object_type: Mapped[str]
    object_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    request_id: Mapped[str | None]
    address: Mapped[str | None]


class UnsealedEntry(Base):
    """An entry that waits for the next seal; a trigger puts it here when it is added.

    So an entry that commits late is never overlooked, and a restored database goes on where it was.
    """

    __tablename__ = "audit_unsealed"

    entry_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class AuditSeal(Base):
    """A batch of entries, sealed: whoever changes one later, or the batch, would need the key."""

    __tablename__ = "audit_seals"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, …")
    sealed_at: Mapped[datetime]
    entry_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    leaves: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of each entry, in the order of the ids")
    root: Mapped[bytes] = mapped_column(LargeBinary, comment="of the Merkle tree over the leaves")
    previous: Mapped[bytes] = mapped_column(LargeBinary, comment="SHA-256 of the seal before")
    key_id: Mapped[str] = mapped_column(comment="of ENCRYPTION_KEYS")
    mac: Mapped[bytes] = mapped_column(LargeBinary, comment="HMAC-SHA-256 over all of the above")
