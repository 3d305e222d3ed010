"""Schema migrations from code: upgrade, and whether the database is at the head this release needs."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from integrations_api.db.engine import sqlalchemy_url


def migrations_folder() -> Path:
    """`migrations/` of a source checkout, or the copy inside an installed wheel."""
    packaged = Path(__file__).parents[1] / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "migrations"


def alembic_config(url: str) -> Config:
    """Alembic's configuration for a database, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database to `revision`; call it outside of a running event loop."""
    command.upgrade(alembic_config(sqlalchemy_url(url)), revision)


@cache
def head_revision() -> str:
    """The revision that this release's code needs."""
    head = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    assert head is not None
    return head


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision a database is at; None for one that was never migrated."""
    found = await connection.scalar(text("SELECT to_regclass('alembic_version')"))
    if found is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
