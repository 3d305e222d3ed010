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


class ApiKey(Base):
    """A credential for scripts. Only its hash is kept; what it may do is also bounded by what its user may do now."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None] = mapped_column(comment="to within five minutes")


class SignInCounter(Base):
    """Failed sign-ins under one key: an account, an address, or an account from a known address."""

    __tablename__ = "sign_in_counters"

    key: Mapped[str] = mapped_column(primary_key=True, comment="kind and hash: names nobody")
    failures: Mapped[int]
    last_at: Mapped[datetime]
    blocked_until: Mapped[datetime | None]


class KnownAddress(Base):
    """An address from which a user has signed in; strangers' failures elsewhere do not keep him out there."""

    __tablename__ = "known_addresses"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True, comment="an IPv4 address, or the /64 of an IPv6 one")
    seen_at: Mapped[datetime]


class RateBucket(Base):
    """How much of a route's allowance somebody has used: the moment from which all of it is there again."""

    __tablename__ = "rate_buckets"

    key: Mapped[str] = mapped_column(primary_key=True, comment="allowance and user")
    full_at: Mapped[datetime]
