"""Runs migrations over one asyncpg connection, with an advisory lock so that two starters do not race."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import integrations_api.access.models
import integrations_api.audit.models
import integrations_api.integrations.models
import integrations_api.knowledge.models
import integrations_api.oauth.models
import integrations_api.queue.models
import integrations_api.sync.models  # noqa: F401
from integrations_api.db.base import Base

MIGRATION_LOCK = 7_215_001


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


def run(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=belongs_to_us,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


async def main() -> None:
    engine = create_async_engine(database_url(), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


asyncio.run(main())
