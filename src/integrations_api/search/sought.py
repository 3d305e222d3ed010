"""What is sought for a query or a text: what matches, what each term counts, and what of that is scored. Pure."""

from collections.abc import Mapping, Sequence
from math import ceil
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from integrations_api.search import bm25
from integrations_api.search.bm25 import Term
from integrations_api.search.candidates import Candidates, Way, way_to
from integrations_api.search.repository import Parsed, Said
from integrations_api.search.scope import Filters, Scope
from integrations_api.search.words import either, expected_share, lexemes, widened

FEW_WORDS = 3
"""Up to so many words all are wanted; of a longer question some will do."""

AS_DEAR = 20
"""Listing so many matches by the index costs as much as one step of a walk through the scope."""

AS_LONG = 20
"""Words of a text that is looked at for as much as it costs to list a match by the index."""
LEAST_DEAR = 2.0
"""What looking at a text costs at least, in such matches, however short it is."""
LOOKED_AT = 2.0
"""How many times as many texts as should have enough matches are looked at before that is given up."""


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

    @property
    def says_nothing(self) -> bool:
        """Whether there is no word to look for; of a question whose words nobody has said there is nothing to find."""
        return not self.query and not self.is_relaxed


def with_uncounted(parsed: Parsed) -> Parsed:
    """Only what lives in a published version is counted: a word that tombstones alone say, or a version that waits, is
    one of the rarest, not one that nobody says."""
    scope = replace(parsed.scope, documents=max(1, parsed.scope.documents))
    said = {term: max(1, parsed.counts.get(term, 0)) for term in lexemes(parsed.tree)}
    return replace(parsed, scope=scope, counts={**parsed.counts, **said})


def sought_of(parsed: Parsed, *, has_operators: bool) -> Sought:
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


def alike(said: Said) -> Sought:
    """All telling terms of a text, among the documents that have the rarest of them."""
    documents = said.scope.documents
    weights = bm25.telling(said.terms, documents)
    query = either(bm25.rarest(said.terms, weights))
    counts = {term.lexeme: term.documents for term in said.terms}
    whole = bm25.whole(said.terms, weights, said.scope.average)
    return Sought(query, weights, whole, expected_share(query, counts, documents), is_relaxed=True)


def candidates_of(scope: Scope, sought: Sought, filters: Filters, but: UUID | None) -> Candidates:
    """What is scored for it in a scope, and how that is come by."""
    expected = sought.share * scope.documents
    most = bm25.MOST_CANDIDATES if sought.is_relaxed else bm25.most_scored(expected)
    walks = is_common(sought.share, scope.documents, most)
    scans = is_common(sought.share, scope.documents, most, as_dear=max(LEAST_DEAR, scope.average / AS_LONG))
    way = way_to(scope, filters, walks=walks, scans=scans, all_are_scored=expected <= most * scope.living)
    looked_at = ceil(LOOKED_AT * most / (sought.share * scope.living)) if way is Way.SCAN else 0
    return Candidates(scope, sought.query, sought.weights, most, filters, but, way, looked_at)


def relaxed(sought: Sought) -> Sought:
    """Some of the words will do."""
    assert sought.relaxed is not None
    return replace(sought, query=sought.relaxed, share=sought.relaxed_share, relaxed=None, is_relaxed=True)


def marking_of(sought: Sought) -> str:
    """The tsquery for what is marked in a hit."""
    return sought.query if not sought.is_relaxed else either(sought.weights)


def is_common(share: float, documents: int, most: int, *, as_dear: float = AS_DEAR) -> bool:
    """Whether going through so many documents meets `most` of a share sooner than the index lists the whole share."""
    return share > 0 and most / share * as_dear < share * documents
