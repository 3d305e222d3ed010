"""Which releases' code runs on which schema. See docs/decisions/upgrades.md.

Code cannot know the schemas of later releases. So the schema says whose code it serves: `schema_serves` holds the
heads of all releases that may run on it, and the migrations that take something away end older ones.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from integrations_api.db.base import Base
from integrations_api.db.revisions import current_revision, head_revision, known_revisions
from integrations_api.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.script import Script, ScriptDirectory

RELEASES = {"20261124_oauth": "0.1"}
"""Head of the schema → release, of every release that is out. The last one is what an upgrade comes from."""


class SchemaServes(Base):
    """A revision that was the head of some release, whose code this schema serves. Written by migrations alone."""

    __tablename__ = "schema_serves"

    revision: Mapped[str] = mapped_column(primary_key=True)


class Fit(StrEnum):
    """How the schema stands to this release."""

    AT_HEAD = "at_head"
    AHEAD = "ahead"
    """Of a later release, which serves this one."""
    BEHIND = "behind"
    BEYOND = "beyond"
    """Of a later release, which took away what this one needs."""

    @property
    def is_served(self) -> bool:
        """Whether this release's code may run."""
        return self in {Fit.AT_HEAD, Fit.AHEAD}


async def schema_of(connection: AsyncConnection) -> tuple[Fit, str | None]:
    """How the schema stands to this release, and its revision, by up to four statements."""
    found = await current_revision(connection)
    return await _fit_of(connection, found), found


async def _fit_of(connection: AsyncConnection, found: str | None) -> Fit:
    if found == head_revision():
        return Fit.AT_HEAD
    if found is None or found in known_revisions():
        return Fit.BEHIND
    if await connection.scalar(text("SELECT to_regclass('schema_serves')")) is None:
        return Fit.BEYOND
    served = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM schema_serves WHERE revision = :head)"), {"head": head_revision()}
    )
    return Fit.AHEAD if served else Fit.BEYOND


def require_served(fit: Fit, found: str | None) -> None:
    """Raises `ConfigurationError` unless the schema serves this release: its own, or a later one's."""
    if fit is Fit.BEHIND:
        raise ConfigurationError(
            f"The database {f'schema is at {found}' if found else 'has no schema yet'}, and this release needs "
            f"{head_revision()}: run `integrations-api migrate`"
        )
    if fit is Fit.BEYOND:
        raise ConfigurationError(
            f"The database schema is at {found}, of a later release that took away what this one needs: "
            "run that release, or restore the backup that was made before it"
        )


def note_whom_it_serves(connection: Connection, migrations: "ScriptDirectory", revision: str | None) -> None:
    """Writes down, in the transaction of the migration that led to `revision`, whose code the schema serves now."""
    if connection.scalar(text("SELECT to_regclass('schema_serves')")) is None:
        return
    connection.execute(text("DELETE FROM schema_serves"))
    for served in serves(migrations, revision):
        connection.execute(text("INSERT INTO schema_serves (revision) VALUES (:revision)"), {"revision": served})


def serves(migrations: "ScriptDirectory", revision: str | None) -> list[str]:
    """The revision and those before it, newest first, down to the newest whose code some migration has ended.

    A migration ends older code by naming, as `ends`, the newest revision whose code cannot go on after it.
    """
    found: list[str] = []
    ended: set[str] = set()
    for script in _downwards(migrations, revision):
        if script.revision in ended:
            break
        found.append(script.revision)
        ended.update(filter(None, [ends(script)]))
    return found


def ends(script: "Script") -> str | None:
    """The newest revision whose code cannot go on after this migration; None for one that only adds."""
    named: str | None = getattr(script.module, "ends", None)
    return named


def _downwards(migrations: "ScriptDirectory", revision: str | None) -> Iterator["Script"]:
    while revision is not None:
        script = migrations.get_revision(revision)
        yield script
        below = script.down_revision
        assert below is None or isinstance(below, str), "migrations are one chain"
        revision = below
