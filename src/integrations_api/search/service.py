"""Searching what was published: by a query, by an incident, by the text of a new one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct, field
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import Sessions
from integrations_api.db.reading import reading
from integrations_api.knowledge.embedding import find_active_model
from integrations_api.knowledge.lookup import Meant, meant
from integrations_api.knowledge.terms import composed
from integrations_api.search import presenting, repository
from integrations_api.search.candidates import MOST_HITS, rank
from integrations_api.search.cursors import ReadSoFar, mark_of
from integrations_api.search.fusion import fuse, standing_out
from integrations_api.search.meaning import QueryEmbedder
from integrations_api.search.nearest import Meaning, likenesses, nearest, stored_meaning
from integrations_api.search.presenting import Wire
from integrations_api.search.ranked import Ranked
from integrations_api.search.repository import Best, Said
from integrations_api.search.scope import Filters, Scope, find_chosen
from integrations_api.search.sought import Sought, alike, candidates_of, marking_of, relaxed, sought_of, with_uncounted
from integrations_api.search.words import Query, read_query, spelled, title_and_rest

LEXICAL, HYBRID = "lexical", "hybrid"
"""How hits are ranked: by words alone, or by words and meaning."""

SEMANTIC = "semantic"
"""Why an incident is a hit that lies near in meaning."""

NOTHING_TO_FIND = (
    "There is nothing to look for in this: name a word that tells something "
    "(very common words are left out, and what is only excluded finds nothing)"
)


class Question(Struct, frozen=True):
    """A search, and what its pages before this one were."""

    query: str
    dataset_id: UUID | None = None
    version: int | None = None
    filters: Filters = field(default_factory=Filters)
    limit: int = 10
    so_far: ReadSoFar = ReadSoFar()

    @property
    def most(self) -> int:
        """How many hits this page may have."""
        return min(self.limit, MOST_HITS - len(self.so_far.shown))


class Hits(Struct, frozen=True):
    """A page of hits, best first; `shown` are the marks of all so far. `message` says why there is none."""

    hits: list[Wire]
    scope: Scope
    shown: frozenset[str] = frozenset()
    has_more: bool = False
    matching: str = "all"
    message: str | None = None
    ranking: str = LEXICAL


class SearchService:
    """The read side over published versions. Nothing here writes.

    With a `meaning`, hits are also ranked by it; where that cannot be had in time, by words alone.
    """

    def __init__(self, *, sessions: Sessions, meaning: QueryEmbedder | None = None) -> None:
        self._sessions = sessions
        self._meaning = meaning

    async def search(self, question: Question) -> Hits:
        """What a query finds. Raises `NotFound` and `InvalidInput` for datasets and versions that cannot be meant."""
        query = read_query(question.query)
        # What was ranked by words alone goes on so, though the service may be back by now.
        by_words = query.is_literal or question.so_far.ranking == LEXICAL
        meaning = None if by_words else await self._understood(question.query)
        async with reading(self._sessions) as session:
            chosen = await find_chosen(
                session,
                dataset_id=question.dataset_id,
                version=question.version,
                pinned=question.so_far.pinned,
                goes_on=question.so_far.ranking is not None,
            )
            parsed = await repository.parse(session, chosen, query.text, query.prefix)
            if question.filters.tombstones or not parsed.scope.is_counted:
                parsed = with_uncounted(parsed)
            sought = sought_of(parsed, has_operators=query.has_operators)
            named = await _named(session, parsed.scope, query, question.filters)
            if meaning is None and not named and not question.so_far.shown:
                return await _first_page(session, question, query, parsed.scope, sought)
            return await _page(session, question, query, parsed.scope, sought, named, meaning)

    async def similar_to(self, number: str, *, dataset_id: UUID | None, version: int | None, limit: int) -> Hits:
        """The incidents most like one, without itself. Raises `NotFound`, or `Conflict` when it is not clear which."""
        async with reading(self._sessions) as session:
            one = await meant(session, number, dataset_id=dataset_id, version=version, find=repository.find_at)
            asked = one.dataset_id if dataset_id is not None or version is not None else None
            chosen = await find_chosen(session, dataset_id=asked, version=version)
            said = await repository.said_by_incident(session, chosen, one.document_id, one.version)
            meaning = await self._kept(session, one)
            if meaning is not None or self._meaning is None:
                return await _alike(session, said, meaning, limit=limit, but=one.document_id)
        # The service is asked between two transactions.
        meaning = await self._understood(said.words)
        async with reading(self._sessions) as session:
            return await _alike(session, said, meaning, limit=limit, but=one.document_id)

    async def similar_text(self, text: str, *, dataset_id: UUID | None, version: int | None = None, limit: int) -> Hits:
        """The incidents most like a text; a short first line of several counts as its title. Raises `NotFound`."""
        title, rest = title_and_rest(composed(text))
        meaning = await self._understood(text)
        async with reading(self._sessions) as session:
            chosen = await find_chosen(session, dataset_id=dataset_id, version=version)
            said = await repository.said_by_text(session, chosen, title=title, rest=rest)
            return await _alike(session, said, meaning, limit=limit)

    async def _understood(self, text: str) -> Meaning | None:
        """The vector of a text by the model that answers, if there is one and the service gives it in time."""
        if self._meaning is None or not text.strip():
            return None
        async with self._sessions() as session:
            model = await find_active_model(session)
        if model is None:
            return None
        vector = await self._meaning.vector_of(text, model=model.name, dimension=model.dimension)
        return None if vector is None else Meaning(model, vector)

    async def _kept(self, session: AsyncSession, one: Meant) -> Meaning | None:
        """The vector that is kept of an incident: nobody needs to be asked for it."""
        model = None if self._meaning is None else await find_active_model(session)
        return None if model is None else await stored_meaning(session, model, one.document_id, one.version)


class Found(Struct, frozen=True):
    """A ranking, and which of its incidents lie near in meaning; `goes_beyond` what has the words."""

    ranked: list[Ranked]
    ranking: str = LEXICAL
    near: frozenset[UUID] = frozenset()
    goes_beyond: bool = False


async def _fused(
    session: AsyncSession,
    scope: Scope,
    words: list[Ranked],
    meaning: Meaning | None,
    *,
    whole: float,
    filters: Filters,
    but: UUID | None = None,
) -> Found:
    """The ranking by words, fused with that by meaning where there is one."""
    near = None
    if meaning is not None:
        near = await nearest(session, scope, meaning, filters=filters, but=but)
    if near is None or meaning is None:
        return Found(words)
    reached = {one.id for one in near}
    likeness = await likenesses(session, meaning, [one for one in standing_out(words) if one.id not in reached])
    ranked = fuse(words, near, whole=whole, likeness=likeness, most=MOST_HITS)
    beyond = {one.id for one in ranked} - {one.id for one in words}
    return Found(ranked, HYBRID, frozenset(reached), bool(beyond))


async def _first_page(session: AsyncSession, question: Question, query: Query, scope: Scope, sought: Sought) -> Hits:
    """What most searches are: ranked by words alone, nothing asked for by its number, not read on."""
    best, used = await _best(session, scope, sought, question.filters, most=question.most)
    hits = _told(best.ranked, best.rows, used, spelling_of=query.text)
    return Hits(
        hits,
        scope,
        shown=question.so_far.with_page(one.id for one in best.ranked),
        has_more=best.has_more and len(hits) < MOST_HITS,
        matching="some" if used.is_relaxed else "all",
        message=NOTHING_TO_FIND if used.says_nothing else None,
    )


async def _page(
    session: AsyncSession,
    question: Question,
    query: Query,
    scope: Scope,
    sought: Sought,
    named: Sequence[tuple[UUID, int, str]],
    meaning: Meaning | None,
) -> Hits:
    """Any page of any search."""
    shown = question.so_far.shown
    # One more than the page: whether there is another.
    wanted = len(shown) + question.most + 1 if meaning is None else MOST_HITS
    words, used = await _ranked(session, scope, sought, question.filters, hits=wanted)
    found = await _fused(session, scope, words, meaning, whole=used.whole, filters=question.filters)
    ranked = [one for one in _named_first(named, found.ranked) if mark_of(one.id) not in shown]
    page = ranked[: question.most]
    why = {id_: number for id_, _, number in named}
    hits = await _presented(session, page, used, spelling_of=query.text, named=why, near=found.near)
    return Hits(
        hits,
        scope,
        shown=question.so_far.with_page(one.id for one in page),
        has_more=len(page) < len(ranked) and len(shown) + len(page) < MOST_HITS,
        matching="some" if used.is_relaxed or found.goes_beyond else "all",
        message=NOTHING_TO_FIND if used.says_nothing and not hits else None,
        ranking=found.ranking,
    )


async def _named(session: AsyncSession, scope: Scope, query: Query, filters: Filters) -> list[tuple[UUID, int, str]]:
    """Incidents whose number is in the query, with the version that answers and what was asked for."""
    return await repository.by_number(session, scope, query.numbers, filters) if query.numbers else []


async def _ranked(
    session: AsyncSession, scope: Scope, sought: Sought, filters: Filters, *, hits: int, but: UUID | None = None
) -> tuple[list[Ranked], Sought]:
    """The hits, and what they were found by: where few words find nothing together, some of them will do."""
    if not sought.query:
        return [], sought
    candidates = candidates_of(scope, sought, filters, but)
    found = await rank(session, candidates, hits=min(hits, MOST_HITS))
    if found or not sought.relaxed:
        return found, sought
    return await _ranked(session, scope, relaxed(sought), filters, hits=hits, but=but)


async def _best(
    session: AsyncSession, scope: Scope, sought: Sought, filters: Filters, *, most: int, but: UUID | None = None
) -> tuple[Best, Sought]:
    """The same as `_ranked`, with what is shown of the first `most`."""
    if not sought.query:
        return Best([], []), sought
    candidates = candidates_of(scope, sought, filters, but)
    found = await repository.best(session, candidates, most=most, marking=marking_of(sought))
    if found.ranked or not sought.relaxed:
        return found, sought
    return await _best(session, scope, relaxed(sought), filters, most=most, but=but)


def _named_first(named: Sequence[tuple[UUID, int, str]], found: Sequence[Ranked]) -> list[Ranked]:
    """What was asked for by its number goes before everything else, with a score to show for it."""
    ids = {id_ for id_, _, _ in named}
    best = max((one.score for one in found), default=0.0) + 1
    first = [Ranked(id_, version, round(best, 4)) for id_, version, _ in named]
    return (first + [one for one in found if one.id not in ids])[:MOST_HITS]


async def _alike(
    session: AsyncSession, said: Said, meaning: Meaning | None, *, limit: int, but: UUID | None = None
) -> Hits:
    """What says the same: ranked by all telling terms, among the documents that have the rarest; and by meaning."""
    scope, sought = said.scope, alike(said)
    if meaning is None:
        best, _ = await _best(session, scope, sought, Filters(), most=limit, but=but)
        found, hits = Found(best.ranked), _told(best.ranked, best.rows, sought, spelling_of=said.words)
    else:
        ranked, _ = await _ranked(session, scope, sought, Filters(), hits=MOST_HITS, but=but)
        found = await _fused(session, scope, ranked, meaning, whole=sought.whole, filters=Filters(), but=but)
        hits = await _presented(session, found.ranked[:limit], sought, spelling_of=said.words, near=found.near)
    nothing = NOTHING_TO_FIND if not said.terms and not hits else None
    return Hits(hits, scope, matching="some" if sought.query or hits else "all", message=nothing, ranking=found.ranking)


async def _presented(
    session: AsyncSession,
    page: Sequence[Ranked],
    sought: Sought,
    *,
    spelling_of: str,
    near: frozenset[UUID],
    named: Mapping[UUID, str] | None = None,
) -> list[Wire]:
    """Hits as they leave, with their reasons: the number asked for, nearness in meaning, words in common."""
    rows = await repository.shown(session, page, marking=marking_of(sought), terms=list(sought.weights))
    numbers = named or {}
    why = {one.id: ([numbers[one.id]] if one.id in numbers else []) + [SEMANTIC] * (one.id in near) for one in page}
    return _told(page, rows, sought, spelling_of=spelling_of, why=why)


def _told(
    page: Sequence[Ranked],
    rows: Sequence[Mapping[str, Any]],
    sought: Sought,
    *,
    spelling_of: str,
    why: Mapping[UUID, Sequence[str]] | None = None,
) -> list[Wire]:
    """Hits with words in common as reasons, after those of `why`."""
    spelling = spelled(sought.weights, spelling_of)
    reasons = why or {}
    return [
        presenting.hit(row, score=one.score, why=reasons.get(one.id, ()), spelling=spelling)
        for row, one in zip(rows, page, strict=True)
    ]
