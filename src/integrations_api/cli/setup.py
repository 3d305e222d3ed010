"""What nearly every command begins with: settings, logging, the database, the parts.

The parts are imported when they are needed: `serve` starts its worker before that.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from integrations_api.db.embedded import EmbeddedDatabaseError, EmbeddedPostgres, start_embedded
from integrations_api.errors import ConfigurationError, Unavailable
from integrations_api.logs import configure_logging, get_logger
from integrations_api.settings import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from integrations_api.components import Components
    from integrations_api.db.compatibility import Fit

T = TypeVar("T")

log = get_logger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks whether the bundled PostgreSQL still runs; each reads two small files."""


def settings_for_process(**overrides: Any) -> Settings:
    """The settings of a process that stays, with logging set up; options given as None do not count."""
    settings = load_settings(**{name: value for name, value in overrides.items() if value is not None})
    configure_logging(log_format=settings.log_format, level=settings.log_level)
    return settings


def settings_for_command() -> Settings:
    """The settings of a command that comes and goes; it logs only trouble, unless DEBUG is asked for."""
    settings = load_settings()
    level = settings.log_level if settings.log_level in {"DEBUG", "ERROR"} else "WARNING"
    configure_logging(log_format=settings.log_format, level=level)
    return settings


@contextmanager
def opened_database(settings: Settings, *, migrated: bool = True, looked_after: bool = False) -> Iterator[str]:
    """The database's URL while the context lasts. The bundled PostgreSQL is started (or joined), and migrated; if it is
    `looked_after`, also started again when it was killed.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with start_embedded(settings.data_dir) as server:
        if migrated:
            migrate_database(server.url)
        with _looked_after(server) if looked_after else nullcontext():
            yield server.url


@contextmanager
def _looked_after(server: EmbeddedPostgres) -> Iterator[None]:
    """A system that is short of memory takes PostgreSQL first, and nobody else would start this one again."""
    ending = threading.Event()

    def look() -> None:
        while not ending.wait(LOOK_EVERY):
            try:
                if server.start_again_if_killed():
                    log.warning("database.started_again", reason="it was killed, or stopped by somebody else")
            except (EmbeddedDatabaseError, OSError) as error:
                log.warning("database.not_started_again", error=str(error))

    looking = threading.Thread(target=look, name="look-after-database", daemon=True)
    looking.start()
    try:
        yield
    finally:
        ending.set()
        looking.join()


def migrate_database(url: str) -> None:
    """Brings the schema to this release's head; one of a later release that serves this one stays as it is.

    Raises `ConfigurationError` for one of a later release that does not.
    """
    from alembic.util import CommandError

    from integrations_api.db.migrations import upgrade

    logging.getLogger("alembic.runtime.migration").addFilter(_is_news)
    with database_trouble():
        try:
            upgrade(url)
        except CommandError as error:
            if schema_at(url)[0].is_served:
                return
            raise ConfigurationError(
                f"The database cannot be migrated ({error}): it was probably used by a later release, so run that one"
            ) from error


def schema_at(url: str) -> tuple["Fit", str | None]:
    """How the schema there stands to this release, and its revision. Raises `Unavailable`."""
    from integrations_api.db.compatibility import schema_of
    from integrations_api.db.engine import create_engine

    async def look() -> tuple["Fit", str | None]:
        engine = create_engine(url, pool_size=1)
        try:
            async with engine.connect() as connection:
                return await schema_of(connection)
        finally:
            await engine.dispose()

    with database_trouble():
        return asyncio.run(look())


def _is_news(record: logging.LogRecord) -> bool:
    """Alembic introduces itself at every start; what counts is which migrations it runs."""
    return "Running" in record.getMessage()


async def check_schema(engine: "AsyncEngine") -> None:
    """The first contact with the database. Raises `Unavailable`, or `ConfigurationError` for another schema."""
    from integrations_api.wiring import require_schema

    with database_trouble():
        await require_schema(engine)


@contextmanager
def database_trouble() -> Iterator[None]:
    """Says in one sentence why the database cannot be used."""
    from integrations_api.db.lost import DATABASE_TROUBLE

    try:
        yield
    except DATABASE_TROUBLE as error:
        raise Unavailable(_trouble(error)) from None


def trouble_later(error: Exception) -> str | None:
    """What to say of an error that came after the first contact; None where it is no trouble of the database's."""
    from integrations_api.db.engine import is_forbidden, is_lost_connection
    from integrations_api.db.lost import DATABASE_TROUBLE

    known = isinstance(error, DATABASE_TROUBLE) and (is_lost_connection(error) or is_forbidden(error))
    of_ours = isinstance(error, OSError) and not isinstance(error, ConnectionRefusedError | TimeoutError)
    return _trouble(error) if known and not of_ours else None


def _trouble(error: Exception) -> str:
    from integrations_api.db.engine import cause_of, is_forbidden, is_read_only

    reason = cause_of(error)
    silent = isinstance(reason, TimeoutError) and not str(reason)
    said = "no answer in time" if silent else str(reason) or type(reason).__name__
    if is_forbidden(error):
        return f"The database refuses this user a right ({said}): `integrations-api doctor` says what it needs"
    if is_read_only(error):
        return f"The database can only be read ({said}): does DATABASE_URL name the primary?"
    return f"The database cannot be used ({said}): is it running, and is DATABASE_URL right?"


def run_with_parts(settings: Settings, work: Callable[["Components"], Awaitable[T]]) -> T:
    """Opens the database, assembles the parts, and does one thing with them."""
    from sqlalchemy.ext.asyncio import AsyncEngine

    from integrations_api.wiring import assemble

    async def do() -> T:
        async with assemble(settings, database_url=url) as components:
            await check_schema(components[AsyncEngine])
            return await work(components)

    with opened_database(settings) as url:
        return asyncio.run(do())
