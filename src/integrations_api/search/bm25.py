"""BM25, and how PostgreSQL is made to compute it: pure functions and tables of numbers.

A document's score is the sum, over the query's terms, of weight * tf * (K1 + 1) / (tf + K1 * (1 - B + B * length /
average length)). A term in the title counts `TITLE` times. See docs/search.md for what was measured.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

from msgspec import Struct

K1 = 1.2
B = 0.75
TITLE = 3
"""A word of the title counts as often as three in the text."""
MOST_TERMS = 32
"""A long query is scored by its most telling terms: more change nothing in what is found."""
MOST_CANDIDATES = 1000
"""Documents that are scored for a question of many words, at most."""
MOST_MATCHES = 500
"""Documents that are scored for a query of few words, at most."""
SAMPLE = 200
"""Documents that are scored where more than twice `MOST_MATCHES` match: which of them are looked at is chance then, and
the first ten of 200 score 99 % of what the first ten of 500 do (docs/search.md)."""

# `ts_rank` of one term is the sum of w / j² over its occurrences j = 1, 2, …, those in the title first, divided by
# π²/6; with w = 1 for the title and 1/2 for all else each pair of counts has a value of its own. So one call of a
# function written in C tells how often a term stands in title and text: some 5 times as fast as unnesting the vector.
RANK_WEIGHTS = (0.5, 0.5, 0.5, 1.0)
"""For `ts_rank`: of D, C, B and A."""
_LIMIT = 1.64493406685
_MOST_IN_TITLE = 6
_MOST_IN_TEXT = 40


def _rank(in_title: int, in_text: int) -> float:
    weights = [1.0] * in_title + [0.5] * in_text
    return sum(weight / (j * j) for j, weight in enumerate(weights, start=1)) / _LIMIT


def _steps() -> tuple[list[float], list[float]]:
    """Thresholds of ranks, and the term frequency from each threshold on; the first frequency is that of no hit."""
    counts = [(t, n) for t in range(_MOST_IN_TITLE + 1) for n in range(_MOST_IN_TEXT + 1) if t + n]
    known = sorted((_rank(t, n), float(TITLE * t + n)) for t, n in counts)
    thresholds = [known[0][0] / 2]
    thresholds += [(below[0] + above[0]) / 2 for below, above in itertools.pairwise(known)]
    return thresholds, [0.0, *(frequency for _, frequency in known)]


THRESHOLDS, FREQUENCIES = _steps()
"""`FREQUENCIES[width_bucket(ts_rank(RANK_WEIGHTS, tsv, term), THRESHOLDS)]`, counted from 0, is a term's frequency."""

INVERSES = [1 / frequency for frequency in FREQUENCIES[1:]]
"""1 by the frequency of a term that is there, counted from 1 as PostgreSQL does."""


def most_scored(expected: float) -> int:
    """How many of so many expected matches of a query of few words are scored."""
    return SAMPLE if expected > 2 * MOST_MATCHES else MOST_MATCHES


class Term(Struct, frozen=True):
    """A term of a query: how often the query has it, and in how many of the documents it stands."""

    lexeme: str
    in_query: float
    documents: int


def weight(term: Term, documents: int) -> float:
    """What the term counts for among so many documents: its rarity, as often as the query says it."""
    rarity = math.log(1 + (documents - term.documents + 0.5) / (term.documents + 0.5))
    return term.in_query * rarity


def telling(terms: Sequence[Term], documents: int) -> dict[str, float]:
    """The terms that are worth scoring, with their weights, heaviest first. A term of no document is none."""
    weighed = [(term.lexeme, weight(term, documents)) for term in terms if 0 < term.documents <= documents]
    return dict(sorted(weighed, key=lambda pair: (-pair[1], pair[0]))[:MOST_TERMS])


def rarest(terms: Sequence[Term], among: Mapping[str, float], most: int = MOST_CANDIDATES) -> list[str]:
    """The rarest terms of `among` that together stand in at most `most` documents; at least one where there is any."""
    chosen: list[str] = []
    total = 0
    for term in sorted(terms, key=lambda term: (term.documents, term.lexeme)):
        if term.lexeme not in among:
            continue
        if chosen and total + term.documents > most:
            break
        chosen.append(term.lexeme)
        total += term.documents
    return chosen


def whole(terms: Sequence[Term], weights: Mapping[str, float], average: float) -> float:
    """The score of a document that says just what the question says, among documents of an average length."""
    length = sum(term.in_query for term in terms)
    damping = K1 * (1 - B + B * length / average)
    scored = (term for term in terms if term.lexeme in weights)
    return sum(weights[term.lexeme] * (K1 + 1) * term.in_query / (term.in_query + damping) for term in scored)
