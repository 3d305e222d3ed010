"""Which texts lack the vector of which model: models, the queue of texts, and how far it has come.

A dataset is looked through up to its head (`swept`), and texts without a vector are queued; workers claim them in
batches for a while, so that one that dies holds nothing up. Every function works in its caller's transaction; none
of them waits for a network.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.knowledge import vectors

LONGEST_TEXT = 8000
"""Characters of title and text that are embedded: what the models read is less."""
CLAIM = timedelta(minutes=3)
"""How long a worker may take over a batch before others take it: longer than its retries."""
KEPT = timedelta(hours=1)
"""How long a model's vectors are kept after another has taken over."""
SWEEP = 2000
"""Contents looked at in one transaction."""
SWEEPS = 50
"""For a whole dataset about so many at most, with more in each: every one looks for what is left among all."""

TEXT_SQL = f"left(c.title || E'\\n' || c.text, {LONGEST_TEXT})"
"""What is embedded of a content."""


class Model(Struct, frozen=True):
    """A model by whose vectors texts are compared; `dimension` is None before its first answer."""

    id: int
    name: str
    dimension: int | None
    is_active: bool


def _model(row: Row[Any] | None) -> Model | None:
    return None if row is None else Model(row.id, row.name, row.dimension, row.state == "active")


_MODEL = "SELECT id, name, dimension, state FROM embedding_models m "
_ACTIVE = text(f"{_MODEL} WHERE state = 'active' AND {vectors.KEPT}")


async def find_active_model(session: AsyncSession) -> Model | None:
    """The model that answers: the last one that was complete, if its vectors are still there."""
    return _model((await session.execute(_ACTIVE)).one_or_none())


async def want_model(session: AsyncSession, name: str) -> Model:
    """The model of that name, to be filled unless it answers already; what else was being filled is given up."""
    facts = {"name": name}
    begun = await session.scalar(_BEGIN, facts)
    if begun is not None:
        await session.execute(text("UPDATE embedding_sweeps SET is_filled = false WHERE model_id = :id"), {"id": begun})
    await session.execute(_GIVE_UP, facts)
    found = _model((await session.execute(text(_MODEL + "WHERE name = :name"), facts)).one())
    assert found is not None
    return found


# Nothing is written where all is as wanted: this is asked every few seconds.
_BEGIN = text("""
    INSERT INTO embedding_models (name, state)
    SELECT :name, 'filling' WHERE NOT EXISTS (
        SELECT FROM embedding_models WHERE name = :name AND state <> 'retired'
    )
    ON CONFLICT (name) DO UPDATE SET state = 'filling', changed_at = now() WHERE embedding_models.state = 'retired'
    RETURNING id
""")
_GIVE_UP = text("""
    UPDATE embedding_models SET state = 'retired', changed_at = now() WHERE state = 'filling' AND name <> :name
""")


class UnfitVectors(Exception):
    """Vectors of a length that cannot be kept; the message says why and what to do."""


async def note_dimension(session: AsyncSession, model_id: int, dimension: int) -> None:
    """Makes the model's table when its first vectors have come. Raises `UnfitVectors`."""
    known: int | None = await session.scalar(
        text("SELECT dimension FROM embedding_models WHERE id = :model FOR UPDATE"), {"model": model_id}
    )
    if dimension > vectors.MOST_DIMENSIONS:
        raise UnfitVectors(
            f"The model gives vectors of {dimension} numbers, and pgvector finds at most {vectors.MOST_DIMENSIONS}: "
            "choose another EMBEDDINGS_MODEL"
        )
    if known is None:
        await vectors.make_table(session, model_id, dimension)
        await session.execute(
            text("UPDATE embedding_models SET dimension = :dimension WHERE id = :model"),
            {"model": model_id, "dimension": dimension},
        )
    elif known != dimension:
        raise UnfitVectors(
            f"The model gives vectors of {dimension} numbers now, and of {known} before: it is another by the same "
            "name, so give it another name there and in EMBEDDINGS_MODEL"
        )


# The dataset is chosen by a lock on its row of sweeps: two workers look through different ones.
_START = text("""
    INSERT INTO embedding_sweeps (model_id, dataset_id)
    SELECT :model, id FROM datasets WHERE head IS NOT NULL ON CONFLICT DO NOTHING
""")
_NEXT = text("""
    SELECT s.dataset_id, s.swept, d.head, d.documents FROM embedding_sweeps s JOIN datasets d ON d.id = s.dataset_id
    WHERE s.model_id = :model AND d.head > s.swept
    ORDER BY d.documents, d.id LIMIT 1 FOR UPDATE OF s SKIP LOCKED
""")
_FRESH = """
    r.dataset_id = :dataset AND r.valid_from > :swept AND r.valid_from <= :head AND r.valid_to > :head
    AND r.change <> 'deleted'
"""
# What is counted is what was to be hashed: a sweep for another model may have been faster with all of it.
_HASH = text(f"""
    WITH fresh AS MATERIALIZED (
        SELECT DISTINCT r.content_id FROM revisions r
        WHERE {_FRESH} AND NOT EXISTS (SELECT FROM content_texts t WHERE t.content_id = r.content_id)
        LIMIT :most
    ), hashed AS (
        INSERT INTO content_texts (content_id, hash)
        SELECT c.id, sha256(convert_to({TEXT_SQL}, 'UTF8')) FROM fresh JOIN contents c ON c.id = fresh.content_id
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM fresh
""")  # nosec B608 # noqa: S608 - put together from constants
_QUEUE = """
    INSERT INTO embedding_queue (model_id, hash)
    SELECT DISTINCT CAST(:model AS integer), t.hash
    FROM revisions r JOIN content_texts t ON t.content_id = r.content_id WHERE {fresh} {lacking}
    ON CONFLICT DO NOTHING
"""
_SWEPT = text("UPDATE embedding_sweeps SET swept = :head WHERE model_id = :model AND dataset_id = :dataset")


async def sweep(session: AsyncSession, model: Model) -> bool:
    """Looks through some of what was published since the last time; whether there may be more.

    The cost follows what has changed: texts are hashed once, and `_FRESH` is an index range.
    """
    await session.execute(_START, {"model": model.id})
    found = (await session.execute(_NEXT, {"model": model.id})).one_or_none()
    if found is None:
        return False
    facts = {"model": model.id, "dataset": found.dataset_id, "swept": found.swept, "head": found.head}
    if await session.scalar(_HASH, {**facts, "most": max(SWEEP, found.documents // SWEEPS)}):
        return True
    lacking = "" if model.dimension is None else _lacking(model.id)
    await session.execute(text(_QUEUE.format(fresh=_FRESH, lacking=lacking)), facts)
    await session.execute(_SWEPT, facts)
    return True


def _lacking(model_id: int) -> str:
    return f"AND NOT EXISTS (SELECT FROM {vectors.table_of(model_id)} v WHERE v.hash = t.hash)"  # nosec B608 # put together from constants


_CLAIM = text(f"""
    WITH next AS (
        SELECT hash FROM embedding_queue
        WHERE model_id = :model AND failure IS NULL AND claimed_until < now()
        ORDER BY claimed_until LIMIT :many FOR UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE embedding_queue q SET claimed_until = now() + CAST(:claim AS interval) FROM next
        WHERE q.model_id = :model AND q.hash = next.hash RETURNING q.hash
    )
    SELECT q.hash, (
        SELECT {TEXT_SQL} FROM content_texts t JOIN contents c ON c.id = t.content_id WHERE t.hash = q.hash LIMIT 1
    ) AS words
    FROM claimed q
""")  # nosec B608 # noqa: S608 - put together from constants


async def claim(session: AsyncSession, model_id: int, *, many: int) -> dict[bytes, str] | None:
    """Some waiting texts by their hash, that nobody else will be given for a while; those that are gone are dropped.

    None where nothing waits.
    """
    found = (await session.execute(_CLAIM, {"model": model_id, "many": many, "claim": CLAIM})).all()
    if not found:
        return None
    await vectors.forget(session, [bytes(row.hash) for row in found if row.words is None])
    return {bytes(row.hash): row.words for row in found if row.words is not None}


async def give_back(session: AsyncSession, model_id: int, hashes: Sequence[bytes]) -> None:
    """Lets others have what was claimed and not done."""
    await session.execute(
        text("""
            UPDATE embedding_queue SET claimed_until = '-infinity'
            WHERE model_id = :model AND hash = ANY(CAST(:hashes AS bytea[]))
        """),
        {"model": model_id, "hashes": list(hashes)},
    )


async def set_aside(session: AsyncSession, model_id: int, hash_: bytes, *, why: str) -> None:
    """A text that the service does not take is found by its words only."""
    await session.execute(
        text("UPDATE embedding_queue SET failure = :why WHERE model_id = :model AND hash = :hash"),
        {"model": model_id, "hash": hash_, "why": why},
    )


_SETTLED = text("""
    UPDATE embedding_sweeps s SET is_filled = true FROM datasets d
    WHERE s.model_id = :model AND d.id = s.dataset_id AND s.swept >= d.head AND NOT s.is_filled
      AND NOT EXISTS (SELECT FROM embedding_queue q WHERE q.model_id = :model AND q.failure IS NULL)
""")
_COMPLETE = text("""
    SELECT m.state = 'filling' AND m.dimension IS NOT NULL AND NOT EXISTS (
        SELECT FROM datasets d LEFT JOIN embedding_sweeps s ON s.dataset_id = d.id AND s.model_id = m.id
        WHERE d.head IS NOT NULL AND NOT coalesce(s.is_filled, false)
    ) FROM embedding_models m WHERE m.id = :model
""")


async def settle(session: AsyncSession, model_id: int) -> bool:
    """Notes which datasets are complete; the model takes over when all of them are. Whether it did so now."""
    facts = {"model": model_id}
    await session.execute(_SETTLED, facts)
    if not await session.scalar(_COMPLETE, facts):
        return False
    await session.execute(text("LOCK TABLE embedding_models IN SHARE ROW EXCLUSIVE MODE"))
    await session.execute(
        text("UPDATE embedding_models SET state = 'retired', changed_at = now() WHERE state = 'active'")
    )
    await session.execute(
        text("UPDATE embedding_models SET state = 'active', changed_at = now() WHERE id = :model"), facts
    )
    return True


_LOST = text(f"DELETE FROM embedding_models m WHERE dimension IS NOT NULL AND NOT {vectors.KEPT} RETURNING id")  # nosec B608 # noqa: S608 - put together from constants


async def drop_lost(session: AsyncSession) -> None:
    """Removes models whose vectors are not there any more, so that they are begun anew."""
    for model_id in (await session.scalars(_LOST)).all():
        await session.execute(text(f"DROP TABLE IF EXISTS {vectors.table_of(model_id)}"))


async def drop_retired(session: AsyncSession) -> None:
    """Removes models that another has replaced, after a while: one that comes back in time costs nothing."""
    await session.execute(text("SET LOCAL lock_timeout = '2s'"))
    found = await session.execute(
        text("""
            SELECT id FROM embedding_models WHERE state = 'retired' AND changed_at < now() - CAST(:kept AS interval)
            FOR UPDATE SKIP LOCKED
        """),
        {"kept": KEPT},
    )
    for model_id in found.scalars().all():
        await session.execute(text(f"DROP TABLE IF EXISTS {vectors.table_of(model_id)}"))
        await session.execute(text("DELETE FROM embedding_models WHERE id = :model"), {"model": model_id})


class Progress(Struct, frozen=True):
    """Of the incidents of a dataset's head, how many have their text embedded by a model.

    `is_active` says that the model answers; `refused` are those whose text the service does not take.
    """

    model: str
    is_active: bool
    embedded: int
    refused: int
    of: int


_PROGRESS_OF = text("""
    SELECT m.id, m.name, m.state, d.head, d.documents, coalesce(s.swept, 0) AS swept
    FROM datasets d CROSS JOIN embedding_models m
    LEFT JOIN embedding_sweeps s ON s.model_id = m.id AND s.dataset_id = d.id
    WHERE d.id = :dataset AND m.state <> 'retired'
    ORDER BY m.state = 'active' LIMIT 1
""")
_UNSEEN = text(f"SELECT count(*) FROM revisions r WHERE {_FRESH}")  # nosec B608 # noqa: S608 - put together from constants
# From the queue to those incidents: the cost follows what still waits.
_WAITING = text("""
    SELECT count(*) AS waiting, count(*) FILTER (WHERE q.failure IS NOT NULL) AS refused
    FROM embedding_queue q JOIN content_texts t ON t.hash = q.hash JOIN revisions r ON r.content_id = t.content_id
    WHERE q.model_id = :model AND r.dataset_id = :dataset
      AND r.valid_from <= least(CAST(:swept AS integer), CAST(:head AS integer)) AND r.valid_to > :head
      AND r.change <> 'deleted'
""")


async def progress(session: AsyncSession, dataset_id: UUID) -> Progress | None:
    """How far a dataset is embedded, by the model being filled if there is one; None where no model is known."""
    row = (await session.execute(_PROGRESS_OF, {"dataset": dataset_id})).one_or_none()
    if row is None:
        return None
    facts = {"dataset": dataset_id, "model": row.id, "swept": row.swept, "head": row.head or 0}
    unseen = await session.scalar(_UNSEEN, facts) or 0
    queued = (await session.execute(_WAITING, facts)).one()
    embedded = max(0, row.documents - unseen - queued.waiting)
    return Progress(row.name, row.state == "active", embedded, queued.refused, row.documents)


async def every_progress(session: AsyncSession) -> list[Progress]:
    """The same of all datasets that have been published."""
    ids = await session.scalars(text("SELECT id FROM datasets WHERE head IS NOT NULL"))
    found = [await progress(session, UUID(str(one))) for one in ids.all()]
    return [one for one in found if one is not None]
