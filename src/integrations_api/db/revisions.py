"""The revisions of the schema that this release knows, and the one a database is at; without alembic.

Every process asks for them when it starts. Alembic would import itself and each migration for the answer, a tenth of a
second: it is for those who carry migrations out (`db.migrations`).
"""

import re
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_NAMED = re.compile(r'^(revision|down_revision) = (?:"(\w+)"|None)$', re.MULTILINE)


def migrations_folder() -> Path:
    """`migrations/` of a source checkout, or the copy inside an installed wheel."""
    packaged = Path(__file__).parents[1] / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "migrations"


@cache
def known_revisions() -> tuple[str, ...]:
    """Every revision up to this release's head, oldest first: one chain, as the files of the migrations tell it."""
    following: dict[str, str] = {}
    for file in migrations_folder().glob("versions/*.py"):
        named = dict(_NAMED.findall(file.read_text(encoding="utf-8")))
        following[named["down_revision"]] = named["revision"]
    chain = [following[""]]
    while chain[-1] in following:
        chain.append(following[chain[-1]])
    return tuple(chain)


def head_revision() -> str:
    """The revision that this release's code needs."""
    return known_revisions()[-1]


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision a database is at; None for one that was never migrated."""
    found = await connection.scalar(text("SELECT to_regclass('alembic_version')"))
    if found is None:
        return None
    revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
