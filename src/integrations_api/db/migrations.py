"""Schema migrations from code: upgrade, and what waits to be done. Imports alembic; see `db.revisions` for the rest."""

import time
from functools import cache
from itertools import chain, repeat

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from sqlalchemy.exc import DBAPIError

from integrations_api.db.engine import sqlalchemy_url
from integrations_api.db.revisions import head_revision, migrations_folder
from integrations_api.errors import Unavailable
from integrations_api.logs import get_logger

log = get_logger(__name__)

PATIENCE = 600.0
"""Seconds in which a migration comes back for a table that others use: longer than the longest step of a sync."""
_PAUSES = (1.0, 2.0, 4.0, 8.0)
_IN_USE = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head", *, patience: float = PATIENCE) -> None:
    """Brings the database to `revision`; call it outside of a running event loop.

    A migration waits a second at most for a table (`migrations/env.py`), for whoever comes after it waits behind it.
    What it did not get it comes back for. Raises `Unavailable` after `patience` seconds of that.
    """
    deadline = time.monotonic() + patience
    for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
        try:
            command.upgrade(alembic_config(sqlalchemy_url(url)), revision)
        except DBAPIError as error:
            if not isinstance(getattr(error.orig, "__cause__", None), _IN_USE):
                raise
            if time.monotonic() > deadline:
                raise Unavailable(
                    "A table that has to be changed was in use all the time: nothing is lost, run "
                    "`integrations-api migrate` again, at best when no large sync is running"
                ) from error
        else:
            return
        log.info("migrate.table_in_use", trying_again_in_seconds=pause)
        time.sleep(pause)


@cache
def scripts() -> ScriptDirectory:
    """The migrations of this release."""
    return ScriptDirectory.from_config(alembic_config(""))


def pending(current: str | None) -> list[Script]:
    """The migrations that lead from a revision this release knows to its head, in their order."""
    found = scripts().iterate_revisions(head_revision(), current or "base")
    return [script for script in found if script.revision != current][::-1]
