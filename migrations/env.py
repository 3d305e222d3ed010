"""Runs migrations over one asyncpg connection, one process at a time, none of them in anybody's way for long."""

import asyncio
import time
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import integrations_api.access.models
import integrations_api.audit.models
import integrations_api.db.compatibility
import integrations_api.integrations.models
import integrations_api.knowledge.models
import integrations_api.oauth.models
import integrations_api.queue.models
import integrations_api.sync.models  # noqa: F401
from integrations_api.db.base import Base
from integrations_api.db.compatibility import note_whom_it_serves
from integrations_api.db.engine import connector
from integrations_api.errors import Unavailable

MIGRATION_LOCK = 7_215_001
PATIENCE = 3600.0
"""Seconds to wait for another process that migrates: as long as a large index may take."""
LOCK_TIMEOUT = "1s"
"""While a migration waits for a table, everybody who comes after it waits too. `db.migrations.upgrade` tries again."""


def database_url() -> str:
    url = context.config.attributes.get("url")
    if url:
        return str(url)
    from integrations_api.settings import load_settings

    settings = load_settings()
    if settings.database_url is None:
        raise SystemExit("Set DATABASE_URL: developers' alembic commands do not start the bundled PostgreSQL.")
    return settings.database_url.get_secret_value()


def belongs_to_us(name: str | None, type_: str, parent_names: dict[str, str | None]) -> bool:
    """PgQueuer's tables are its own, and those of vectors come and go with models: `alembic check` leaves them alone."""
    table = name if type_ == "table" else parent_names.get("table_name")
    return not (table or "").startswith(("pgqueuer", "embedding_vectors_"))


def take_turn(connection: Connection) -> None:
    """Asks again and again. A session that waited would hold a snapshot, for which an index that another process
    builds concurrently waits in turn.
    """
    deadline = time.monotonic() + PATIENCE
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
        connection.commit()
        if time.monotonic() > deadline:
            raise Unavailable("Another process is migrating this database, and has been for an hour: look what it does")
        time.sleep(0.1)
    connection.commit()


def note(*, ctx: MigrationContext, heads: set[str], **_: Any) -> None:
    assert ctx.connection is not None
    assert ctx.script is not None
    note_whom_it_serves(ctx.connection, ctx.script, max(heads, default=None))


def run(connection: Connection) -> None:
    take_turn(connection)
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=belongs_to_us,
            transaction_per_migration=True,
            on_version_apply=note,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


async def main() -> None:
    url = database_url()
    connect = connector(url, server_settings={"lock_timeout": LOCK_TIMEOUT})
    engine = create_async_engine(url, poolclass=NullPool, async_creator=connect)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


asyncio.run(main())
