"""Contents: texts and attributes, written once for each hash, before any revision names them.

Whoever writes one must hold its run (see sync/journal.py): what no revision and no raw record names is pruned while
the dataset has no run.
"""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.knowledge import terms
from integrations_api.knowledge.documents import Content
from integrations_api.knowledge.lexicon import Lexicon, Vector, Words, words_of
from integrations_api.tasks import Turns

_VECTOR = terms.document_vector_sql(title="w.heading", text="w.body", spoken="w.spoken")

_NOTHING = text("SELECT 1")
_KNOWN = text("SELECT hash FROM contents WHERE dataset_id = :dataset AND hash = ANY(CAST(:hashes AS bytea[]))")

# OFFSET 0 keeps the planner from computing the vector twice.
_KEEP = text(f"""
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, url, tsv, words)
    SELECT CAST(:dataset AS uuid), n.hash, n.title, n.text, CAST(n.notes AS jsonb), CAST(n.attributes AS jsonb), n.url,
           n.tsv, coalesce(n.words, {terms.WORDS_SQL.format(vector="n.tsv")})
    FROM (
        SELECT w.*, coalesce(CAST(w.vector AS tsvector), {_VECTOR}) AS tsv
        FROM unnest(
            CAST(:hashes AS bytea[]), CAST(:titles AS text[]), CAST(:texts AS text[]), CAST(:notes AS text[]),
            CAST(:attributes AS text[]), CAST(:urls AS text[]), CAST(:vectors AS text[]), CAST(:words AS integer[]),
            CAST(:headings AS text[]), CAST(:bodies AS text[]), CAST(:spoken AS text[])
        ) AS w(hash, title, text, notes, attributes, url, vector, words, heading, body, spoken)
        OFFSET 0
    ) n
    ON CONFLICT (dataset_id, hash) DO NOTHING
""")  # nosec B608 # noqa: S608 - put together from constants

AWAKE = 0.5
"""Seconds after which the server hears of a transaction again whose process is at work: it ends what stands idle."""

_lexicon = Lexicon()
"""One for the process: what a word means to a search is the same for every dataset."""


async def keep(session: AsyncSession, *, dataset_id: UUID, contents: Iterable[Content]) -> None:
    """Stores those that are not stored yet; the same in two transactions at once is stored once."""
    # In one order everywhere, or two transactions with the same contents could wait for each other.
    by_hash = {content.hash: content for content in contents}
    known = set(await session.scalars(_KNOWN, {"dataset": dataset_id, "hashes": list(by_hash)}))
    fresh = [by_hash[key] for key in sorted(by_hash.keys() - known)]
    if not fresh:
        return
    vectors = await _vectors(session, fresh)
    # Of those whose vector is still to be made.
    unread = [_searched(content) if v is None else _NOWHERE for content, v in zip(fresh, vectors, strict=True)]
    await session.execute(
        _KEEP,
        {
            "dataset": dataset_id,
            "hashes": [content.hash for content in fresh],
            "titles": [content.title for content in fresh],
            "texts": [content.text for content in fresh],
            "notes": [content.notes for content in fresh],
            "attributes": [content.attributes for content in fresh],
            "urls": [content.url for content in fresh],
            "vectors": [v.literal if v else None for v in vectors],
            "words": [v.words if v else None for v in vectors],
            "headings": [each.title for each in unread],
            "bodies": [each.text for each in unread],
            "spoken": [each.spoken for each in unread],
        },
    )


class _Searched(NamedTuple):
    """What is searched of a content."""

    title: str
    text: str
    spoken: str


_NOWHERE = _Searched("", "", "")


def _searched(content: Content) -> _Searched:
    """Its texts as queries are written, and so much of them as is searched."""
    whole = (content.title, content.text, content.spoken)
    return _Searched(*(terms.composed(part[: terms.LONGEST_TEXT]) for part in whole))


async def _vectors(session: AsyncSession, fresh: Sequence[Content]) -> list[Vector | None]:
    documents: list[Words] = []
    turns = _TurnsAwake(session)
    for content in fresh:
        documents.append(dict(zip("ABC", map(words_of, _searched(content)), strict=True)))
        await turns.pause()
    vectors = await _made(documents, turns)
    if unread := [document for document, vector in zip(documents, vectors, strict=True) if vector is None]:
        await _lexicon.learn(session, unread)
        again = iter(await _made(unread, turns))
        vectors = [next(again) if vector is None else vector for vector in vectors]
    return vectors


async def _made(documents: Sequence[Words], turns: Turns) -> list[Vector | None]:
    """A vector of each, None where a word is not known yet or PostgreSQL must make it."""
    vectors: list[Vector | None] = []
    for document in documents:
        vectors.append(_lexicon.vector(document))
        await turns.pause()
    return vectors


class _TurnsAwake(Turns):
    """Keeps the transaction of the work awake, too."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__()
        self._session = session
        self._asked = time.monotonic()

    async def pause(self) -> None:
        await super().pause()
        if time.monotonic() - self._asked > AWAKE:
            await self._session.execute(_NOTHING)
            self._asked = time.monotonic()
