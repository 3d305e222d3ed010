"""Vectors of texts: a table for each model, made at run time, for not every server has pgvector.

A vector is addressed by the hash of the text that was embedded, so what says the same is embedded once. Vectors have
length 1: the inner product of two is their likeness. Every function works in its caller's transaction.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

LEAST_PGVECTOR = (0, 8)
"""The first release whose index scan goes on until filters have let enough through."""
EXTENSION = "vector"
MOST_DIMENSIONS = 4000
"""The most that an HNSW index over half-precision numbers takes."""
_LOCK = 7_215_011

_NONE = "this PostgreSQL has no pgvector: install the extension there, or use the bundled PostgreSQL"
_FORBIDDEN = "pgvector is there, but not switched on: let an administrator of the database run CREATE EXTENSION vector"
_OLD = "pgvector {found} is too old: 0.8 or later is needed (ALTER EXTENSION vector UPDATE, after installing it)"


def table_of(model_id: int) -> str:
    """The name of the table with a model's vectors."""
    return f"embedding_vectors_{int(model_id)}"


KEPT = """
    EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass('embedding_vectors_' || m.id)
                AND a.attname = 'embedding' AND NOT a.attisdropped)
"""
"""SQL of whether the vectors of a model (m) are there: who takes pgvector away takes them, too."""


class Pgvector(Struct, frozen=True):
    """Which version of the extension the server has, and whether it is switched on in this database."""

    version: str | None
    is_on: bool

    @property
    def obstacle(self) -> str | None:
        """Why vectors could not be kept although it is switched on, or would be."""
        if self.version is None:
            return _NONE
        return None if _parts(self.version) >= LEAST_PGVECTOR else _OLD.format(found=self.version)


async def find_pgvector(session: AsyncSession) -> Pgvector:
    """Looks, and changes nothing."""
    found = (
        await session.execute(
            text("SELECT default_version, installed_version FROM pg_available_extensions WHERE name = :name"),
            {"name": EXTENSION},
        )
    ).one_or_none()
    if found is None:
        return Pgvector(version=None, is_on=False)
    return Pgvector(str(found.installed_version or found.default_version), found.installed_version is not None)


async def obstacle(session: AsyncSession) -> str | None:
    """Why this database cannot keep vectors; None where it can. Switches pgvector on where that is allowed."""
    found = await find_pgvector(session)
    if found.version is not None and not found.is_on and not await _switched_on(session):
        return _FORBIDDEN
    return found.obstacle


async def _switched_on(session: AsyncSession) -> bool:
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    try:
        async with session.begin_nested():
            await session.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except DBAPIError:
        return False
    return True


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


async def make_table(session: AsyncSession, model_id: int, dimension: int) -> None:
    """The table of a model's vectors, with its index. There is nothing in it yet, so this is done at once."""
    table = table_of(model_id)
    await session.execute(
        text(
            f"CREATE TABLE {table} (hash bytea PRIMARY KEY, embedding halfvec({int(dimension)}) STORAGE PLAIN NOT NULL)"
        )
    )
    await session.execute(
        text(
            f"CREATE INDEX ix_{table} ON {table} USING hnsw (embedding halfvec_ip_ops) "
            "WITH (m = 16, ef_construction = 128)"
        )
    )


def literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it."""
    return f"[{','.join(format(number, '.6g') for number in vector)}]"


async def store(session: AsyncSession, model_id: int, vectors: Mapping[bytes, Sequence[float]]) -> None:
    """Keeps vectors by the hash of their text, and takes these texts from the queue.

    A text that was purged meanwhile leaves no vector: rows that are being deleted are skipped, not waited for.
    """
    facts = {"model": model_id, "hashes": list(vectors), "vectors": [literal(one) for one in vectors.values()]}
    table = table_of(model_id)
    await session.execute(
        text(f"""
            WITH known AS MATERIALIZED (
                SELECT hash FROM content_texts WHERE hash = ANY(CAST(:hashes AS bytea[])) FOR KEY SHARE SKIP LOCKED
            )
            INSERT INTO {table} (hash, embedding)
            SELECT g.hash, CAST(g.vector AS halfvec)
            FROM unnest(CAST(:hashes AS bytea[]), CAST(:vectors AS text[])) AS g(hash, vector)
            WHERE g.hash IN (SELECT hash FROM known)
            ON CONFLICT (hash) DO NOTHING
        """),  # nosec B608 # noqa: S608 - put together from a number
        facts,
    )
    await session.execute(
        text(f"""
            DELETE FROM embedding_queue q
            WHERE q.model_id = :model AND q.hash = ANY(CAST(:hashes AS bytea[]))
              AND (EXISTS (SELECT FROM {table} v WHERE v.hash = q.hash)
                   OR NOT EXISTS (SELECT FROM content_texts t WHERE t.hash = q.hash))
        """),  # nosec B608 # noqa: S608 - put together from a number
        facts,
    )


async def models_with_vectors(session: AsyncSession) -> list[int]:
    """Ids of the models that have a table; none of them is dropped in this transaction."""
    found = await session.scalars(
        text("""
            SELECT id FROM embedding_models
            WHERE dimension IS NOT NULL AND to_regclass('embedding_vectors_' || id) IS NOT NULL ORDER BY id FOR SHARE
        """)
    )
    return list(found)


async def hashes_of(session: AsyncSession, contents: Iterable[int]) -> list[bytes]:
    """The hashes of the texts that contents have."""
    found = await session.scalars(
        text("SELECT DISTINCT hash FROM content_texts WHERE content_id = ANY(CAST(:contents AS bigint[]))"),
        {"contents": list(contents)},
    )
    return [bytes(one) for one in found]


_NOBODYS = "NOT EXISTS (SELECT FROM content_texts t WHERE t.hash = x.hash)"
_AGAIN = text("""
    INSERT INTO embedding_queue (model_id, hash)
    SELECT g.model_id, g.hash FROM unnest(CAST(:models AS integer[]), CAST(:hashes AS bytea[])) AS g(model_id, hash)
    WHERE EXISTS (SELECT FROM content_texts t WHERE t.hash = g.hash)
    ON CONFLICT DO NOTHING
""")


async def forget(session: AsyncSession, hashes: Sequence[bytes]) -> None:
    """Removes the vectors of texts that no content has any more, and their places in the queue."""
    if hashes:
        await _forget(session, f"x.hash = ANY(CAST(:hashes AS bytea[])) AND {_NOBODYS}", hashes=list(hashes))


async def forget_orphans(session: AsyncSession) -> None:
    """The same for whatever texts have gone by other ways."""
    await _forget(session, _NOBODYS)


async def _forget(session: AsyncSession, which: str, **facts: object) -> None:
    tables = [("model_id", "embedding_queue")]
    tables += [(str(model_id), table_of(model_id)) for model_id in await models_with_vectors(session)]
    gone: list[Row[int, bytes]] = []
    for model, table in tables:
        statement = text(f"DELETE FROM {table} x WHERE {which} RETURNING {model}, x.hash")  # nosec B608 # noqa: S608
        gone += (await session.execute(statement, facts)).all()
    if gone:
        # Who has looked through what was published meanwhile took these as there, also for a text that has come back.
        await session.execute(_AGAIN, {"models": [row[0] for row in gone], "hashes": [row[1] for row in gone]})
