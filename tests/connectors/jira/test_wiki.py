"""Wiki markup becomes what a reader would see."""

import random

import pytest

from integrations_api.connectors.jira import wiki
from integrations_api.connectors.jira.wiki import to_text


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("h2. Cause\r\n\r\nIt *broke* _again_.", "Cause\n\nIt broke again."),
        ("* one\n** two\n# three", "- one\n- two\n# three"),
        ("{code:java}\nint *a* = 1;\n{code}", "int *a* = 1;"),
        ("{code:title=Pool.java|borderStyle=solid}\nint a;\n{code}", "Pool.java\nint a;"),
        ("see\n{noformat:bgColor=#fff|title=log}\n a{noformat}", "see\nlog\n a"),
        ("Output{code}\n  a\n{code}then{code}b{code}{noformat}c{noformat}", "Output\n  a\nthen\nb\nc"),
        ("It says: {code:title=Log}\na{code}\n\nOften.", "It says: \nLog\na\n\nOften."),
        ("\n \n{noformat}\n  PID TTY\n12345 pts{noformat}\n ", "  PID TTY\n12345 pts"),
        ("before {noformat}[x|y]{noformat} after", "before [x|y] after"),
        ("see [docs|https://example.com/a]", "see docs (https://example.com/a)"),
        ("see [https://example.com/b]", "see https://example.com/b"),
        ("see https://example.com/_layouts/_a_/x and _b_", "see https://example.com/_layouts/_a_/x and b"),
        (
            "[*docs*|https://example.com/a?q=+b+&c=~d~] *_https://example.com/c_d_*",
            "docs (https://example.com/a?q=+b+&c=~d~) https://example.com/c_d",
        ),
        ("|https://example.com/a|*b*|", "https://example.com/a|b"),
        ("ask [~ada]", "ask @ada"),
        ("!screen.png|thumbnail! Wow! Really!", "screen.png Wow! Really!"),
        ("||Name||Value||\n|a|b|", "Name | Value\na|b"),
        ("if (a || b) {{make || true}}\n|| true", "if (a || b) make || true\n|| true"),
        (" ||Name || Value|| \n||a|b|\n|c|d| |", "Name | Value\na|b\nc|d|"),
        ("| grep x\n|", "| grep x\n|"),
        ("un{*}believ{*}able {_}{-}old{-}{_}, x{^}2{^} {*}", "unbelievable old, x2 {*}"),
        (
            "[https://example.com/a_b|https://example.com/a_b|smart-link] [ada@example.com|mailto:ada@example.com]",
            "https://example.com/a_b ada@example.com",
        ),
        ("{color:red}late{color} {{monospace}}", "late monospace"),
        ("{panel:title=Note|bgColor=#fff}\ninside\n{panel}", "Note\n\ninside"),
        ("{quote}said{quote}", "said"),
        (
            "Told:{quote}It fails{quote}Thanks {quote}a{quote} b{panel:title=Note}in{panel:bgColor=#fff}out{panel}",
            "Told:\nIt fails\nThanks a b\nNote\nin\nout",
        ),
        ("un{color:red}believ{color}able", "unbelievable"),
        ("5 * 3 * 2 and snake_case_name and a-b", "5 * 3 * 2 and snake_case_name and a-b"),
        (r"\*not bold\*", "*not bold*"),
        ("one\\\\two", "one\ntwo"),
        ("", ""),
    ],
)
def test_markup_reads_as_its_reader_sees_it(markup: str, expected: str) -> None:
    assert to_text(markup) == expected


@pytest.mark.parametrize(
    "markup",
    ["*" * 20_000, "[" * 20_000, "{code}" * 3000, "!a" * 10_000, "||" * 10_000, "*a " * 10_000, "{code:x}" * 5],
)
def test_markup_that_never_closes_is_read_in_reasonable_time(markup: str) -> None:
    assert isinstance(to_text(markup), str)


def test_a_long_text_reads_the_same_by_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(7)
    signs = ["\n", "\n", " ", "a", "*", "_", "|", "||", "[", "]", "{", "}", "{code}", "{panel:title=b}", "{{", "}}",
             "!", "a.bc", "\\", "h1. ", "- ", "#", "----", "?", "~", "{color:red}"]  # fmt: skip
    texts = ["".join(dice.choices(signs, k=60)) for _ in range(2000)]
    whole = [to_text(text) for text in texts]

    monkeypatch.setattr(wiki, "_PIECE", 1)

    assert [to_text(text) for text in texts] == whole
