"""Tables of the queue room, beside PgQueuer's own."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base


class Worker(Base):
    """A worker process and when it was last seen alive."""

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    busy_with: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default="{}", comment="runs it is working on")
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
