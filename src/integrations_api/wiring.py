"""The composition root: every part is built here, once, for the application, the worker and the command line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from integrations_api.access.passwords import Passwords
from integrations_api.access.service import AccessService
from integrations_api.access.tokens import Tokens
from integrations_api.api.components import Components
from integrations_api.clock import Clock, utc_now
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.db.migrations import current_revision, head_revision
from integrations_api.errors import ConfigurationError
from integrations_api.settings import Settings
from integrations_api.vault.bootstrap import resolve_secrets
from integrations_api.vault.cipher import Vault


@asynccontextmanager
async def assemble(
    settings: Settings, *, database_url: str | None = None, clock: Clock = utc_now
) -> AsyncIterator[Components]:
    """All parts, ready to use, and closed in the end.

    `database_url` is that of the bundled PostgreSQL once it runs; without it DATABASE_URL is used. Raises
    `ConfigurationError` for secrets that are missing or unsafe. Does not look at the schema: see `require_schema`.
    """
    secrets = resolve_secrets(settings)
    components = Components()
    components.add(settings)
    engine = create_engine(_resolved_url(settings, database_url), pool_size=settings.database_pool_size)
    try:
        components.add(engine)
        sessions = components.add(create_sessions(engine), as_=async_sessionmaker)
        components.add(Vault(secrets.keyring))
        components.add(
            AccessService(
                sessions=sessions,
                tokens=Tokens(secret=secrets.secret_key.get_secret_value(), clock=clock),
                passwords=Passwords(),
                token_lifetime=timedelta(minutes=settings.access_token_minutes),
                clock=clock,
            )
        )
        yield components
    finally:
        await engine.dispose()


async def require_schema(engine: AsyncEngine) -> None:
    """Raises `ConfigurationError` unless the database is at this release's schema."""
    async with engine.connect() as connection:
        found = await current_revision(connection)
    if found != head_revision():
        raise ConfigurationError(
            f"The database schema is at {found or 'nothing'}, this release needs {head_revision()}: "
            "run `integrations-api migrate`"
        )


def _resolved_url(settings: Settings, database_url: str | None) -> str:
    if database_url is None:
        if settings.database_url is None:
            raise ConfigurationError("No database: set DATABASE_URL, or start the bundled one first")
        database_url = settings.database_url.get_secret_value()
    return make_url(database_url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
