"""Tables of the oauth room; the tokens themselves stand with the integrations' other secrets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base


class OAuthFlow(Base):
    """A sign-in by a browser that was begun. Its `state` is kept as a hash, and the row goes with its first use."""

    __tablename__ = "oauth_flows"

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    integration_id: Mapped[UUID] = mapped_column(ForeignKey("integrations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_generation: Mapped[int] = mapped_column(comment="of the user, when he began")
    api_key_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), comment="the key it was begun with; it goes with it"
    )
    application: Mapped[str] = mapped_column(comment="digest of what it is for")
    verifier: Mapped[bytes] = mapped_column(LargeBinary, comment="of PKCE, sealed")
    created_at: Mapped[datetime]
