"""What differs between two contents."""

from hypothesis import given
from hypothesis import strategies as st

from integrations_api.knowledge.comparing import (
    FieldChange,
    Segment,
    WordComparison,
    field_changes,
    is_long_text,
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


def test_a_text_with_too_many_differences_is_one_block_between_its_common_ends() -> None:
    before = "start " + "x y " * 50 + "end"
    after = "start " + "y z " * 50 + "end"

    pieces = WordComparison(text_bound=9_999).segments(before, after)

    assert [piece.op for piece in pieces] == ["equal", "delete", "insert", "equal"]
    assert len(WordComparison(text_bound=10_000).segments(before, after)) > 4


def test_one_answer_compares_so_much_and_no_more() -> None:
    words = WordComparison(answer_bound=5)

    first = words.segments("a x b", "1 x 2")
    second = words.segments("a x b", "1 x 2")

    assert [piece.op for piece in first + second] == ["delete", "insert"] * 2
    generous = WordComparison(answer_bound=9)
    assert "equal" in [piece.op for piece in generous.segments("a x b", "1 x 2")]
    assert "equal" not in [piece.op for piece in generous.segments("a x b", "1 x 2")]


def test_only_long_texts_are_worth_segments() -> None:
    assert is_long_text(FieldChange("text", "a" * 80, "b"))
    assert not is_long_text(FieldChange("title", "short", "shorter"))
    assert not is_long_text(FieldChange("notes", ["a" * 80], ["b"]))
