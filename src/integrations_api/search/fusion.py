"""Two rankings made one: a pure function."""

from collections.abc import Sequence
from dataclasses import replace

from integrations_api.search.ranked import Ranked

K = 60
"""Of reciprocal rank fusion: how little the first places stand out."""


def fuse(lexical: Sequence[Ranked], semantic: Sequence[Ranked], *, most: int) -> list[Ranked]:
    """The best of both, best first, resolved ones first among equals.

    Scores of `lexical` are BM25, those of `semantic` likenesses between -1 and 1; those of the answer compare within
    it only. Reciprocal rank fusion with equal weights.
    """
    known = {one.id: one for one in (*lexical, *semantic)}
    scores = dict.fromkeys(known, 0.0)
    for ranking in (lexical, semantic):
        for place, one in enumerate(ranking, start=1):
            scores[one.id] += 100 / (K + place)
    fused = [replace(one, score=round(scores[id_], 4)) for id_, one in known.items()]
    return sorted(fused, key=lambda one: (-one.score, not one.is_resolved))[:most]
