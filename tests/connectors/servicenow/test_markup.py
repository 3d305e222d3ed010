"""Rich text of journals and HTML columns, as a reader would see it."""

import pytest

from integrations_api.connectors.records import Note
from integrations_api.connectors.servicenow.markup import to_text
from integrations_api.connectors.servicenow.notes import notes_of
from tests.connectors.servicenow.test_mapping import mapped


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("[code]<p>Hello&nbsp;<b>Ada</b> &amp; &lt;all&gt;</p><p>Second<br>line</p>[/code]",
         "Hello Ada & <all>\n\nSecond\nline"),
        ("[code]<p>[/code]half and half[code]</p>[/code]", "half and half"),
        ("[code]<p>one</p>[/code]\n\n[code]<p>two</p>[/code]", "one\n\ntwo"),
        ("Steps: [code]<ul><li><p>a</p></li><li>b<ol><li>x</li><li>y</li></ol></li></ul>end[/code]",
         "Steps:\n- a\n- b\n  1. x\n  2. y\n\nend"),
        ("<div>A</div>\n<div><br></div>\n<div>B</div>", "A\n\nB"),
        ("<table><tr><th>Host</th><th>State</th></tr><tr><td><p>a</p></td><td><p>up</p></td></tr></table>",
         "Host | State\na | up"),
        ("<pre>if a:\n    b</pre>", "if a:\n    b"),
        ("<p>See <a class=x href='https://x.example/a?b=1&amp;c=2'>the page</a> now</p>",
         "See the page (https://x.example/a?b=1&c=2) now"),
        ("<p><a href='https://x.example/'>https://x.example/</a>, <a href='mailto:a@b.c'>a@b.c</a></p>",
         "https://x.example/, a@b.c"),
        ("[code]<a href='https://x.example/'><img src='y' alt='logo'></a>[/code]", "logo (https://x.example/)"),
        ("[code]<a href=' javascript:run()'>click</a><script>run()</script><style>p{}</style><!-- no -->[/code]",
         "click"),
        ("[code]a<i>b</i>c<o:p></o:p><![endif]>[/code]", "abc"),
        (f"[code]&#{'1' * 5000};[/code]", f"&#{'1' * 5000};"),
        ("[code]&#0;&#xD800;[/code]", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)  # fmt: skip
def test_markup_is_read_as_it_is_shown(markup: str, text: str) -> None:
    assert to_text(markup) == text


@pytest.mark.parametrize(
    "text",
    [
        "a < b and <x> > c",
        "Mail from <ada@example.com>",
        "<config>\n  <a>1</a>\n</config>",
        "<paths> are not paragraphs >",
        "[code]<p>is never closed",
        "closed only[/code] <p>",
        "The page shows <p>Hello</p>",
    ],
)
def test_what_only_looks_like_markup_stays_as_it_is(text: str) -> None:
    assert to_text(text) == text


def test_notes_are_told_apart_before_their_markup_is_read() -> None:
    block = (
        "2026-03-01 11:00:00 - Ada (Work notes)\n[code]<p>Restarted <b>both</b>.</p>\n\n<p>Works.</p>[/code]\n\n"
        "2026-03-01 10:00:00 - Bob (Work notes)\nPlain &amp; simple\n\n"
    )

    assert notes_of({"work_notes": block}, None) == [
        Note("2026-03-01 11:00:00", "Ada", "work_notes", "Restarted both.\n\nWorks."),
        Note("2026-03-01 10:00:00", "Bob", "work_notes", "Plain &amp; simple"),
    ]


def test_texts_and_columns_of_html_are_kept_as_text() -> None:
    document = mapped(
        description="<p>Since Monday.</p>",
        close_notes="[code]<b>Done</b>[/code]",
        u_workaround="<p>Use the <i>other</i></p>",
    )

    assert document.text == "Since Monday.\n\nResolution: Done"
    assert document.attributes["resolution"] == "Done"
    assert document.attributes["u_workaround"] == "Use the other"
