"""ADF documents become what a reader would see."""

from typing import Any

import pytest

from integrations_api.connectors.jira.adf import to_text


def doc(*content: Any) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(content)}


def text(words: str, *marks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": words, "marks": list(marks)}


def node(kind: str, *content: Any, **attributes: Any) -> dict[str, Any]:
    return {"type": kind, "attrs": attributes, "content": list(content)}


LINK = {"type": "link", "attrs": {"href": "https://example.com"}}
PARAGRAPH = node("paragraph", text("One"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (doc(PARAGRAPH, node("paragraph", text("Two"), {"type": "hardBreak"}, text("lines"))), "One\n\nTwo\nlines"),
        (doc(node("heading", text("Cause"), level=2), PARAGRAPH), "Cause\n\nOne"),
        (doc(node("bulletList", node("listItem", PARAGRAPH), node("listItem", PARAGRAPH))), "- One\n- One"),
        (doc(node("orderedList", node("listItem", PARAGRAPH), node("listItem", PARAGRAPH))), "1. One\n2. One"),
        (
            doc(node("bulletList", node("listItem", PARAGRAPH, node("bulletList", node("listItem", PARAGRAPH))))),
            "- One\n  - One",
        ),
        (doc(node("codeBlock", text("a = 1\n    b = 2"), language="python")), "a = 1\n    b = 2"),
        (doc(node("paragraph"), node("codeBlock", text("  PID TTY\n12345 pts\n "))), "  PID TTY\n12345 pts"),
        (doc(node("orderedList", node("listItem", PARAGRAPH), order=9)), "9. One"),
        (doc(node("taskList", node("taskItem", text("call"), state="DONE"))), "[x] call"),
        (
            doc(node("taskList", node("taskItem", text("a")), node("taskList", node("taskItem", text("b"))))),
            "[ ] a\n  [ ] b",
        ),
        (doc(node("paragraph", node("mention", id="1", text="@Ada"), text(" looks"))), "@Ada looks"),
        (doc(node("paragraph", text("ask "), node("mention", id="5b10a284", accessLevel=""))), "ask @5b10a284"),
        (doc(node("paragraph", node("emoji", shortName=":smile:"))), ":smile:"),
        (doc(node("paragraph", node("date", timestamp="1772355600000"))), "2026-03-01"),
        (doc(node("paragraph", node("inlineCard", url="https://example.com/x"))), "https://example.com/x"),
        (
            doc(node("paragraph", text("here", {"type": "link", "attrs": {"href": "https://example.com"}}))),
            "here (https://example.com)",
        ),
        (
            doc(
                node(
                    "paragraph", text("ada@example.com", {"type": "link", "attrs": {"href": "mailto:ada@example.com"}})
                )
            ),
            "ada@example.com",
        ),
        (
            doc(
                node(
                    "paragraph",
                    text("see "),
                    text("the ", LINK),
                    text("long", {"type": "strong"}, LINK),
                    text(" way", LINK),
                    text(", or "),
                    text("https://", LINK),
                    text("example.com", {"type": "em"}, LINK),
                )
            ),
            "see the long way (https://example.com), or https://example.com",
        ),
        (
            doc(node("table", node("tableRow", node("tableHeader", PARAGRAPH), node("tableCell", PARAGRAPH)))),
            "One | One",
        ),
        (doc(node("expand", PARAGRAPH, title="More")), "More\n\nOne"),
        (doc(node("mediaSingle", node("media", alt="screen.png"))), "screen.png"),
        (
            doc(node("mediaSingle", node("media", type="external", url="https://example.com/a"))),
            "https://example.com/a",
        ),
        (doc(node("mediaSingle", node("media", type="file", id="5c2f", collection=""))), ""),
        (doc(node("aNodeOfTomorrow", PARAGRAPH)), "One"),
        (doc({"type": "text"}, {"type": "text", "text": None}, None, 7, {"content": "no list"}), ""),
        ({}, ""),
        (None, ""),
        ("text", ""),
    ],
)
def test_a_document_reads_as_its_reader_sees_it(document: Any, expected: str) -> None:
    assert to_text(document) == expected


def test_a_document_that_nests_without_end_is_cut_off() -> None:
    deep: dict[str, Any] = PARAGRAPH
    for _ in range(5000):
        deep = node("blockquote", deep)

    assert to_text(doc(PARAGRAPH, deep)) == "One"


@pytest.mark.parametrize("kind", ["orderedList", "bulletList", "taskList"])
def test_lists_within_lists_do_not_make_a_long_text_of_a_short_one(kind: str) -> None:
    words = "a\n" * 1000
    nested = node("paragraph", text(words))
    for _ in range(45):
        inner = nested if kind == "taskList" else node("listItem", nested)
        nested = node(kind, inner, order=10**18)

    assert len(to_text(doc(nested))) < 30 * len(words)
