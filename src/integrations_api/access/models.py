"""Tables of the access room."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base


class User(Base):
    """Someone who may sign in. Permissions stand in the row, so that a change counts from the next request."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True, comment="lower case")
    password_hash: Mapped[str | None] = mapped_column(comment="null until an invitation is accepted")
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    token_generation: Mapped[int] = mapped_column(server_default="0", comment="tokens of an older one are void")
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class UserLink(Base):
    """A one-time link with which a user sets his password. Only the hash of what is in the link is kept."""

    __tablename__ = "user_links"
    __table_args__ = (CheckConstraint("purpose IN ('invite', 'reset')", name="purpose"),)

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, comment="a new link replaces the one before"
    )
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    purpose: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
