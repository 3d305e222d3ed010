"""Two rankings made one: a pure function. docs/decisions/fusion.md tells what it was measured against."""

from collections.abc import Mapping, Sequence
from math import copysign
from uuid import UUID

from msgspec.structs import replace

from integrations_api.search.ranked import Ranked

BACKGROUND = 10
"""A lexical hit counts by what it has above the tenth: words that ten incidents share with the question tell little."""
SHARE = 0.9
"""What a lexical hit that stands out wholly counts, beside 1 for identity in meaning."""
STEEPNESS = 1.5
"""Likenesses are raised to it: where none is great, words decide; where some are, meaning does."""


def fuse(
    lexical: Sequence[Ranked],
    semantic: Sequence[Ranked],
    *,
    whole: float,
    likeness: Mapping[UUID, float],
    most: int,
) -> list[Ranked]:
    """The best of both, best first, resolved ones first among equals.

    Both rankings come best first. Scores of `lexical` are BM25, those of `semantic` likenesses between -1 and 1; those
    of the answer compare within it only. `whole` is the BM25 of an incident that says just what the question says
    (`bm25.whole`). `likeness` tells that of `standing_out` hits which `semantic` does not reach; a hit that has no
    vector yet counts as like as the last of `semantic`.
    """
    known = {one.id: one for one in (*lexical, *semantic)}
    alike = {**likeness, **{one.id: one.score for one in semantic}}
    least = min((one.score for one in semantic), default=0.0)
    floor = max(0.0, 2 * least - 1)
    scores = {id_: _meaning(alike.get(id_, least), floor) for id_ in known}
    for id_, words in _excess(lexical, whole).items():
        scores[id_] += SHARE * words
    fused = [replace(one, score=round(scores[id_], 4)) for id_, one in known.items()]
    return sorted(fused, key=lambda one: (-one.score, not one.is_resolved))[:most]


def standing_out(lexical: Sequence[Ranked]) -> Sequence[Ranked]:
    """The hits whose words count: those before the background."""
    return lexical[: BACKGROUND - 1]


def _meaning(likeness: float, floor: float) -> float:
    """How far a likeness is on the way from the floor to identity.

    The floor is 0 unless even the last of the semantic ranking is more than half alike: then that is how the model
    sees all texts, and tells nothing.
    """
    lifted = (likeness - floor) / (1 - floor) if floor < 1 else 0.0
    return copysign(abs(lifted) ** STEEPNESS, lifted)


def _excess(lexical: Sequence[Ranked], whole: float) -> dict[UUID, float]:
    """For each hit that stands out: which share of the question's words it explains beyond the background."""
    background = lexical[BACKGROUND - 1].score if len(lexical) >= BACKGROUND else 0.0
    share = {one.id: min(one.score / whole, 1) if whole > 0 else 0.0 for one in standing_out(lexical)}
    return {id_: max(0.0, one - background / whole) for id_, one in share.items() if whole > 0}
