"""Which of two rankings is believed, told by their scores alone."""

from uuid import UUID

import pytest

from integrations_api.search import bm25
from integrations_api.search.bm25 import Term
from integrations_api.search.fusion import BACKGROUND, SHARE, fuse, standing_out
from integrations_api.search.ranked import Ranked

WHOLE = 40.0


def ranking(*scored: tuple[int, float], resolved: bool = False) -> list[Ranked]:
    return [Ranked(UUID(int=number), 1, score, resolved) for number, score in scored]


def flat(first: int, score: float, count: int = 20) -> list[Ranked]:
    """Hits that differ by next to nothing."""
    return ranking(*((first + i, score - i / 1000) for i in range(count)))


def fused(lexical: list[Ranked], semantic: list[Ranked], likeness: dict[int, float] | None = None) -> list[int]:
    likenesses = {UUID(int=number): value for number, value in (likeness or {}).items()}
    found = fuse(lexical, semantic, whole=WHOLE, likeness=likenesses, most=100)
    return [one.id.int for one in found]


def test_words_that_ten_hits_share_leave_the_order_to_meaning() -> None:
    semantic = ranking((1, 0.7), (2, 0.6), (3, 0.5))

    assert fused(flat(100, 30.0), semantic, dict.fromkeys(range(100, 120), 0.3))[:3] == [1, 2, 3]


def test_a_hit_whose_words_stand_out_goes_before_what_is_but_alike() -> None:
    lexical = ranking((7, 36.0), *((100 + i, 6.0) for i in range(20)))
    semantic = ranking((1, 0.6), (2, 0.55), (3, 0.2))

    assert fused(lexical, semantic, {7: 0.3})[:2] == [7, 1]


def test_a_likeness_near_identity_is_not_outvoted_by_half_of_the_words() -> None:
    lexical = ranking((7, 20.0), *((100 + i, 4.0) for i in range(20)))

    assert fused(lexical, ranking((1, 0.95), (2, 0.3)), {7: 0.3})[:2] == [1, 7]


def test_who_says_the_words_time_and_again_counts_no_more_than_who_says_just_them() -> None:
    lexical = ranking((7, 3 * WHOLE), *((100 + i, 4.0) for i in range(20)))

    assert fused(lexical, ranking((1, 0.99), (2, 0.3)), {7: 0.0})[:2] == [1, 7]


def test_what_both_find_comes_first() -> None:
    lexical = ranking((7, 20.0), (8, 20.0), *((100 + i, 4.0) for i in range(20)))

    assert fused(lexical, ranking((1, 0.62), (8, 0.6), (7, 0.3)))[0] == 8


@pytest.mark.parametrize("squashed", [0.0, 0.6])
def test_a_model_that_finds_all_texts_alike_ranks_as_one_that_does_not(squashed: float) -> None:
    lexical = ranking((7, 18.0), *((100 + i, 4.0) for i in range(20)))
    likenesses = [(1, 0.75), (2, 0.6), (3, 0.5)]
    semantic = ranking(*((number, squashed + (1 - squashed) * value) for number, value in likenesses))

    assert fused(lexical, semantic, {7: squashed + (1 - squashed) * 0.5})[:3] == [7, 1, 2]


def test_a_hit_without_a_vector_counts_as_like_as_the_last() -> None:
    lexical = ranking((7, 30.0), *((100 + i, 4.0) for i in range(20)))
    semantic = ranking((1, 0.8), (2, 0.3))

    found = fuse(lexical, semantic, whole=WHOLE, likeness={}, most=2)

    assert [one.id.int for one in found] == [7, 1]
    assert found[0].score == pytest.approx(0.3**1.5 + SHARE * (30 - 4) / WHOLE, abs=0.0001)


def test_among_equals_resolved_ones_come_first_and_the_list_is_cut() -> None:
    semantic = ranking((1, 0.5)) + ranking((2, 0.5), resolved=True) + ranking((3, 0.4))

    found = fuse([], semantic, whole=0.0, likeness={}, most=2)

    assert [one.id.int for one in found] == [2, 1]


def test_without_a_semantic_hit_the_lexical_order_stays() -> None:
    lexical = ranking(*((i, 30.0 - i) for i in range(30)))

    assert fused(lexical, []) == list(range(30))
    assert len(standing_out(lexical)) == BACKGROUND - 1


def test_a_document_that_says_what_the_question_says_has_the_whole_score() -> None:
    terms = [Term("vpn", 2.0, 10), Term("drop", 1.0, 3), Term("unheard", 1.0, 0)]
    weights = bm25.telling(terms, 100)

    whole = bm25.whole(terms, weights, 8.0)

    damping = 1.2 * (0.25 + 0.75 * 4 / 8)
    expected = weights["vpn"] * 2.2 * 2 / (2 + damping) + weights["drop"] * 2.2 / (1 + damping)
    assert whole == pytest.approx(expected)
