"""Tables of the integrations room."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base


class Integration(Base):
    """One configured connection to an external system.

    `config` is what clients see: keys in the order they were sent, secret values as the mask, without
    `lastSynced`. The secrets themselves are rows of `integration_secrets`.
    """

    __tablename__ = "integrations"
    __table_args__ = (
        CheckConstraint("auth_type IN ('basic_auth', 'api_token', 'oauth2')", name="auth_type"),
        CheckConstraint("last_sync_status IN ('success', 'error')", name="last_sync_status"),
        Index("ix_integrations_created", "created_at", "id"),
        Index("ix_integrations_next_sync_at", "next_sync_at", postgresql_where="next_sync_at IS NOT NULL"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    service_name: Mapped[str]
    auth_type: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    is_active: Mapped[bool]
    user_id: Mapped[UUID | None] = mapped_column(comment="the creator; kept when the user goes")
    config_revision: Mapped[int] = mapped_column(server_default="1", comment="raised by edits only")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), comment="moves with edits and syncs")

    last_synced_at: Mapped[datetime | None]
    last_sync_status: Mapped[str | None]
    last_sync_error: Mapped[str | None]
    shown_last_synced: Mapped[datetime | None] = mapped_column(comment="config.lastSynced, as it is shown")

    watermark: Mapped[datetime | None] = mapped_column(comment="source time the dataset is complete up to")
    fingerprint: Mapped[str | None] = mapped_column(comment="of the source the watermark belongs to")
    needs_full: Mapped[bool] = mapped_column(server_default="false", comment="the next run reads everything")

    schedule_cron: Mapped[str | None]
    schedule_zone: Mapped[str | None]
    next_sync_at: Mapped[datetime | None]
    paused_reason: Mapped[str | None]
    failures_in_a_row: Mapped[int] = mapped_column(server_default="0")

    needs_connection: Mapped[str | None] = mapped_column(comment="why somebody has to sign in at the service (again)")


class IntegrationSecret(Base):
    """One encrypted secret; `path` is where it belongs in the config, as a JSON pointer."""

    __tablename__ = "integration_secrets"

    integration_id: Mapped[UUID] = mapped_column(ForeignKey("integrations.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    set_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OAuthTokens(Base):
    """The tokens of an integration, sealed together as one JSON text; whoever renews them holds this row's lock.

    The row may be there before the first token is, for its lock's sake.
    """

    __tablename__ = "oauth_tokens"

    integration_id: Mapped[UUID] = mapped_column(ForeignKey("integrations.id", ondelete="CASCADE"), primary_key=True)
    application: Mapped[str] = mapped_column(comment="digest of what they are for")
    generation: Mapped[int] = mapped_column(server_default="0", comment="raised by each new token")
    ciphertext: Mapped[bytes | None] = mapped_column(LargeBinary, comment="null: there are none")
    set_at: Mapped[datetime] = mapped_column(server_default=func.now())
    renew_at: Mapped[datetime | None] = mapped_column(comment="null: only when refused")
