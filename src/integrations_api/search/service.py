"""Searching what was published: by a query, by an incident, by the text of a new one."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import Sessions
from integrations_api.db.reading import reading
from integrations_api.knowledge.embedding import find_active_model
from integrations_api.knowledge.lookup import Meant, meant
from integrations_api.search import bm25, presenting, repository
from integrations_api.search.bm25 import Term
from integrations_api.search.candidates import MOST_HITS, Candidates, rank, way_to
from integrations_api.search.fusion import fuse, standing_out
from integrations_api.search.meaning import QueryEmbedder
from integrations_api.search.nearest import Meaning, likenesses, nearest, stored_meaning
from integrations_api.search.presenting import Wire
from integrations_api.search.ranked import Ranked
from integrations_api.search.repository import Best, Parsed, Said
from integrations_api.search.scope import Filters, Scope, find_chosen
from integrations_api.search.words import (
    Query,
    either,
    expected_share,
    lexemes,
    read_query,
    spelled,
    title_and_rest,
    widened,
)

FEW_WORDS = 3
"""Up to so many words all are wanted; of a longer question some will do."""

AS_DEAR = 20
"""Listing so many matches by the index costs as much as one step of a walk through the scope."""

LEXICAL, HYBRID = "lexical", "hybrid"
"""How hits are ranked: by words alone, or by words and meaning."""

SEMANTIC = "semantic"
"""Why an incident is a hit that lies near in meaning."""

NOTHING_TO_FIND = (
    "There is nothing to look for in this: name a word that tells something "
    "(very common words are left out, and what is only excluded finds nothing)"
)


class Question(Struct, frozen=True):
    """A search; `pinned` are the datasets and versions that the page before was read in."""

    query: str
    dataset_id: UUID | None = None
    version: int | None = None
    filters: Filters = field(default_factory=Filters)
    limit: int = 10
    offset: int = 0
    pinned: tuple[tuple[UUID, int], ...] = ()


class Hits(Struct, frozen=True):
    """A page of hits, best first; `next_offset` is None at the end. `message` says why there is none."""

    hits: list[Wire]
    scope: Scope
    next_offset: int | None = None
    matching: str = "all"
    message: str | None = None
    ranking: str = LEXICAL


class Sought(Struct, frozen=True):
    """A query made ready: a tsquery that every hit matches, and the terms by whose weights hits are ranked."""

    query: str
    weights: Mapping[str, float]
    whole: float = 0.0
    """The score of an incident that says just what the question says."""
    share: float = 0.0
    """Of the scope: how much of it the query matches, as far as that can be told from its words."""
    relaxed: str | None = None
    """Another tsquery, for when the first finds nothing."""
    relaxed_share: float = 0.0
    is_relaxed: bool = False


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
        meaning = None if query.is_literal else await self._understood(question.query)
        async with reading(self._sessions) as session:
            chosen = await find_chosen(
                session, dataset_id=question.dataset_id, version=question.version, pinned=question.pinned
            )
            parsed = await repository.parse(session, chosen, query.text, query.prefix)
            if question.filters.tombstones:
                parsed = _with_tombstones(parsed)
            sought = _sought(parsed, has_operators=query.has_operators)
            named = await _named(session, parsed.scope, query, question.filters)
            if meaning is None and not named and question.offset == 0:
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
        title, rest = title_and_rest(text)
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
        vector = await self._meaning.vector_of(text, model=model.name)
        return None if vector is None or len(vector) != model.dimension else Meaning(model, vector)

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
    best, used = await _best(session, scope, sought, question.filters, most=min(question.limit, MOST_HITS))
    hits = _told(best.ranked, best.rows, used, spelling_of=query.text)
    return Hits(
        hits,
        scope,
        next_offset=len(hits) if best.has_more and len(hits) < MOST_HITS else None,
        matching="some" if used.is_relaxed else "all",
        message=NOTHING_TO_FIND if not used.query else None,
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
    # One more than the page: whether there is another.
    wanted = question.offset + question.limit + 1 if meaning is None else MOST_HITS
    words, used = await _ranked(session, scope, sought, question.filters, hits=wanted)
    found = await _fused(session, scope, words, meaning, whole=used.whole, filters=question.filters)
    ranked = _named_first(named, found.ranked)
    page = ranked[question.offset : question.offset + question.limit]
    why = {id_: number for id_, _, number in named}
    shown = await _presented(session, page, used, spelling_of=query.text, named=why, near=found.near)
    end = question.offset + len(page)
    return Hits(
        shown,
        scope,
        next_offset=end if page and end < len(ranked) else None,
        matching="some" if used.is_relaxed or found.goes_beyond else "all",
        message=NOTHING_TO_FIND if not used.query and not shown else None,
        ranking=found.ranking,
    )


def _with_tombstones(parsed: Parsed) -> Parsed:
    """Only what lives is counted: a word that tombstones alone say is one of the rarest, not one that nobody says."""
    scope = replace(parsed.scope, documents=max(1, parsed.scope.documents))
    said = {term: max(1, parsed.counts.get(term, 0)) for term in lexemes(parsed.tree)}
    return replace(parsed, scope=scope, counts={**parsed.counts, **said})


def _sought(parsed: Parsed, *, has_operators: bool) -> Sought:
    """The query with its terms weighed; its last word may be the beginning of another."""
    scope, terms, counts = parsed.scope, lexemes(parsed.tree), parsed.counts
    if not terms:
        return Sought("", {})
    longer: Mapping[str, int] = {}
    text = parsed.query
    if parsed.stem in terms and counts.get(parsed.stem, 0) < bm25.MOST_MATCHES:
        longer = parsed.longer
        text = widened(text, parsed.stem, longer) if longer else text
    weighed = _weighed(terms, longer, parsed.stem, counts)
    weights = bm25.telling(weighed, scope.documents)
    # Of a word and its completions an incident that says what the question says has one.
    whole = bm25.whole(weighed[: len(terms)], weights, scope.average)
    known = {term.lexeme: term.documents for term in weighed}
    share = expected_share(parsed.query, {**counts, **known}, scope.documents)
    if has_operators or len(terms) == 1:
        return Sought(text, weights, whole, share)
    relaxed = either(bm25.rarest(weighed, weights))
    relaxed_share = expected_share(relaxed, known, scope.documents)
    if len(terms) <= FEW_WORDS:
        return Sought(text, weights, whole, share, relaxed=relaxed, relaxed_share=relaxed_share)
    return Sought(relaxed, weights, whole, relaxed_share, is_relaxed=True)


def _weighed(
    terms: Sequence[str], longer: Mapping[str, int], stem: str | None, counts: Mapping[str, int]
) -> list[Term]:
    """Terms with their counts. A word and its completions count as one: a rare completion must not outweigh all."""
    group = max(counts.get(stem or "", 0), *longer.values(), 0)
    weighed = [Term(term, 1.0, group if longer and term == stem else counts.get(term, 0)) for term in terms]
    return weighed + [Term(term, 0.5, group) for term in longer if term not in terms]


async def _named(session: AsyncSession, scope: Scope, query: Query, filters: Filters) -> list[tuple[UUID, int, str]]:
    """Incidents whose number is in the query, with the version that answers and what was asked for."""
    return await repository.by_number(session, scope, query.numbers, filters) if query.numbers else []


async def _ranked(
    session: AsyncSession, scope: Scope, sought: Sought, filters: Filters, *, hits: int, but: UUID | None = None
) -> tuple[list[Ranked], Sought]:
    """The hits, and what they were found by: where few words find nothing together, some of them will do."""
    if not sought.query:
        return [], sought
    candidates = _candidates(scope, sought, filters, but)
    found = await rank(session, candidates, hits=min(hits, MOST_HITS))
    if found or not sought.relaxed:
        return found, sought
    return await _ranked(session, scope, _relaxed(sought), filters, hits=hits, but=but)


async def _best(
    session: AsyncSession, scope: Scope, sought: Sought, filters: Filters, *, most: int, but: UUID | None = None
) -> tuple[Best, Sought]:
    """The same as `_ranked`, with what is shown of the first `most`."""
    if not sought.query:
        return Best([], []), sought
    candidates = _candidates(scope, sought, filters, but)
    found = await repository.best(session, candidates, most=most, marking=_marking(sought))
    if found.ranked or not sought.relaxed:
        return found, sought
    return await _best(session, scope, _relaxed(sought), filters, most=most, but=but)


def _candidates(scope: Scope, sought: Sought, filters: Filters, but: UUID | None) -> Candidates:
    expected = sought.share * scope.documents
    most = bm25.MOST_CANDIDATES if sought.is_relaxed else bm25.most_scored(expected)
    walks = is_common(sought.share, scope.documents, most)
    way = way_to(scope, filters, walks=walks, all_are_scored=expected <= most)
    return Candidates(scope, sought.query, sought.weights, most, filters, but, way)


def _relaxed(sought: Sought) -> Sought:
    """Some of the words will do."""
    assert sought.relaxed is not None
    return replace(sought, query=sought.relaxed, share=sought.relaxed_share, relaxed=None, is_relaxed=True)


def _marking(sought: Sought) -> str:
    """The tsquery for what is marked in a hit."""
    return sought.query if not sought.is_relaxed else either(sought.weights)


def is_common(share: float, documents: int, most: int) -> bool:
    """Whether a walk through so many documents meets `most` of a share sooner than the index lists the whole share."""
    return share > 0 and most / share * AS_DEAR < share * documents


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
    scope = said.scope
    weights = bm25.telling(said.terms, scope.documents)
    whole = bm25.whole(said.terms, weights, scope.average)
    query = either(bm25.rarest(said.terms, weights))
    counts = {term.lexeme: term.documents for term in said.terms}
    sought = Sought(query, weights, whole, expected_share(query, counts, scope.documents), is_relaxed=True)
    if meaning is None:
        best, _ = await _best(session, scope, sought, Filters(), most=limit, but=but)
        found, hits = Found(best.ranked), _told(best.ranked, best.rows, sought, spelling_of=said.words)
    else:
        ranked, _ = await _ranked(session, scope, sought, Filters(), hits=MOST_HITS, but=but)
        found = await _fused(session, scope, ranked, meaning, whole=whole, filters=Filters(), but=but)
        hits = await _presented(session, found.ranked[:limit], sought, spelling_of=said.words, near=found.near)
    nothing = NOTHING_TO_FIND if not said.terms and not hits else None
    return Hits(hits, scope, matching="some" if query or hits else "all", message=nothing, ranking=found.ranking)


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
    rows = await repository.shown(session, page, marking=_marking(sought), terms=list(sought.weights))
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
