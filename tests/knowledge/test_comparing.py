"""What differs between two contents."""

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations_api.knowledge.comparing import (
    FieldChange,
    Segment,
    WordComparison,
    field_changes,
    is_long_text,
    shortest_way,
)

CONTENT = {
    "number": "INC1",
    "title": "Mail",
    "text": "It is down.",
    "notes": [{"at": "", "author": "", "kind": "", "text": "one"}],
    "url": None,
    "attributes": {"state": "New", "priority": "1"},
}


def test_every_field_that_differs_is_named_with_both_values() -> None:
    after = CONTENT | {"title": "Mail!", "url": "https://x.example", "attributes": {"state": "Closed", "group": "A"}}

    assert field_changes(CONTENT, after) == [
        FieldChange("title", "Mail", "Mail!"),
        FieldChange("url", None, "https://x.example"),
        FieldChange("attributes.group", None, "A"),
        FieldChange("attributes.priority", "1", None),
        FieldChange("attributes.state", "New", "Closed"),
    ]


def test_values_that_python_takes_for_the_same_differ_as_they_are_written() -> None:
    before = CONTENT | {"attributes": {"flag": True, "points": 1, "same": 2, "several": ["a", 3]}}
    after = CONTENT | {"attributes": {"flag": 1, "points": 1.0, "same": 2, "several": ["a", 3.0]}}

    changed = [change.field for change in field_changes(before, after)]

    assert changed == ["attributes.flag", "attributes.points", "attributes.several"]


def test_equal_contents_have_no_changes() -> None:
    assert field_changes(CONTENT, dict(CONTENT)) == []


def test_a_changed_word_is_a_deleted_and_an_inserted_one() -> None:
    assert WordComparison().segments("The mail is down again", "The mail is up again") == [
        Segment("equal", "The mail is "),
        Segment("delete", "down "),
        Segment("insert", "up "),
        Segment("equal", "again"),
    ]


def test_changes_in_several_places_are_told_apart() -> None:
    pieces = WordComparison().segments("a b c d e f g", "a B c d e F g")

    assert [(piece.op, piece.text.strip()) for piece in pieces] == [
        ("equal", "a"), ("delete", "b"), ("insert", "B"), ("equal", "c d e"), ("delete", "f"), ("insert", "F"),
        ("equal", "g"),
    ]  # fmt: skip


WORDS = st.text(st.sampled_from("ab \n\té"), max_size=60)


@given(WORDS, WORDS)
def test_segments_spell_both_texts(before: str, after: str) -> None:
    for comparison in (WordComparison(), WordComparison(text_bound=0)):
        pieces = comparison.segments(before, after)

        assert "".join(piece.text for piece in pieces if piece.op != "insert") == before
        assert "".join(piece.text for piece in pieces if piece.op != "delete") == after


def test_a_text_of_any_length_is_compared_where_little_of_it_differs() -> None:
    """Changed near the beginning and near the end: the common ends alone say next to nothing."""
    words = [f"word{number % 700} " for number in range(20_000)]
    changed = [*words[:3], "one ", *words[4:-3], "two ", *words[-2:]]

    pieces = WordComparison().segments("".join(words), "".join(changed))

    assert [piece.op for piece in pieces] == ["equal", "delete", "insert", "equal", "delete", "insert", "equal"]


def test_a_text_with_too_many_differences_is_one_block_between_its_common_ends() -> None:
    before = "start " + "x y " * 50 + "end"
    after = "start " + "y z " * 50 + "end"

    pieces = WordComparison(text_bound=4_000).segments(before, after)

    assert [piece.op for piece in pieces] == ["equal", "delete", "insert", "equal"]
    assert len(WordComparison().segments(before, after)) > 4


def test_one_answer_compares_so_much_and_no_more() -> None:
    words = WordComparison(answer_bound=30)

    pieces = [words.segments("a x b", "1 x 2") for _ in range(4)]

    assert ["equal" in [piece.op for piece in some] for some in pieces] == [True, True, False, False]


class Word(str):
    """Counts how often it is compared."""

    __slots__ = ()
    __hash__ = str.__hash__
    compared = 0

    def __eq__(self, other: object) -> bool:
        Word.compared += 1
        return super().__eq__(other)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (range(900), range(900, 0, -1)),
        ("aab" * 300, "baa" * 300),
        ("ab" * 450, "baa" * 300),
        ("a" * 600 + "b" * 300, "b" * 300 + "a" * 600),
        ("a" * 900, range(90)),
    ],
)
def test_no_two_texts_take_longer_than_the_bound(old: Sequence[object], new: Sequence[object]) -> None:
    Word.compared = 0

    steps, _ = shortest_way([Word(one) for one in old], [Word(one) for one in new], most=5_000)

    assert steps < 5_000 + 900
    assert Word.compared <= 2 * steps


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_as_many_words_stay_as_can(old: str, new: str) -> None:
    longest = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i, j in product(range(len(old)), range(len(new))):
        both = longest[i][j] + 1 if old[i] == new[j] else 0
        longest[i + 1][j + 1] = max(both, longest[i][j + 1], longest[i + 1][j])

    _, runs = shortest_way(old, new, most=1_000)

    assert sum(length for _, _, length in runs) == longest[-1][-1]
    assert all(old[i : i + length] == new[j : j + length] for i, j, length in runs)


def test_only_long_texts_are_worth_segments() -> None:
    assert is_long_text(FieldChange("text", "a" * 80, "b"))
    assert not is_long_text(FieldChange("title", "short", "shorter"))
    assert not is_long_text(FieldChange("notes", ["a" * 80], ["b"]))
