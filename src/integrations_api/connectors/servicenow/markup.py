"""Rich text of ServiceNow as plain text: what a reader would see, without the formatting.

A journal keeps HTML between `[code]` and `[/code]` (all of a note, where `glide.ui.journal.use_html` is on), and some
columns are HTML altogether. Anybody who may write a note chooses this text, so every step takes time in proportion to
its length, and nothing of it is lost for good: the raw record stays as it came.
"""

import html
import re
from collections.abc import Iterator

_OPENING, _CLOSING = "[code]", "[/code]"
_IS_HTML = re.compile(
    r"<(?:!doctype\s+html|html|body|p|div|span|br|ul|ol|table|h[1-6]|b|strong|i|em|u|font|a|pre|blockquote|img|hr)"
    r"(?:[\s/][^<>]*)?>",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style|head|title)\b.*?(?:</\1\s*>|\Z)"
    r"|<[!?][^<>]*>"
    r"|<(?P<end>/?)(?P<tag>[a-z][a-z0-9:-]*)(?P<attributes>[^<>]*)>",
    re.IGNORECASE | re.DOTALL,
)
"""What is no text: comments, what a browser runs or hides, declarations, tags."""
_VALUE = r"""\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))"""
_HREF, _ALT = (re.compile(rf"(?<![\w-]){name}{_VALUE}", re.IGNORECASE) for name in ("href", "alt"))
_ADDRESS = re.compile(r"(?:https?://|mailto:)\S{1,2000}", re.IGNORECASE)
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "blockquote", "pre", "hr"})
_LINES = frozenset({"div", "ul", "ol", "tr", "br", "section", "article", "header", "footer", "dt", "dd", "caption"})
_EMPTY_LINES = re.compile(r"\n{3,}")
_DEEPEST = 10
"""Lists below lists that are still told apart."""


def to_text(text: str) -> str:
    """The text of a column or note. What is no markup stays as it is, whatever signs it holds."""
    if _OPENING in text:
        return _read(_pieces(text))
    if "<" in text and text.rstrip()[-1:] == ">" and _IS_HTML.match(text.lstrip()):
        return _read(iter([(True, text)]))
    return text


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, and whether each is HTML. A `[code]` that nothing closes is a text like any other."""
    position = 0
    while (start := text.find(_OPENING, position)) >= 0:
        end = text.find(_CLOSING, start)
        if end < 0:
            break
        yield False, text[position:start]
        yield True, text[start + len(_OPENING) : end]
        position = end + len(_CLOSING)
    yield False, text[position:]


def _read(pieces: Iterator[tuple[bool, str]]) -> str:
    page = _Page()
    for is_html, piece in pieces:
        if is_html:
            _read_html(page, piece)
        elif piece.strip():
            page.write(piece)
        else:
            page.blank(piece)
    return page.text()


def _read_html(page: "_Page", piece: str) -> None:
    position = 0
    for token in _TOKEN.finditer(piece):
        page.words(_unescaped(piece[position : token.start()]))
        position = token.end()
        if name := token["tag"]:
            page.tag(name.lower(), token["attributes"], is_end=bool(token["end"]))
    page.words(_unescaped(piece[position:]))


def _unescaped(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return html.unescape(text).replace("\xa0", " ")
    except ValueError:  # A number of thousands of digits is no sign.
        return text


class _Page:
    """Text as it is laid out: what begins a line or an item waits until there is something to stand there."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = 0
        self._is_apart = False
        """Whether a blank stands between what was written and what comes."""
        self._lead = ""
        """What stands before the next words: the mark of an item, the line between two cells."""
        self._is_new_row = False
        self._is_verbatim = False
        self._lists: list[int | None] = []
        """The lists that are open, with the number of the next item where they are numbered."""
        self._link: tuple[str, int] | None = None
        """The address of the link that is open, and where its words begin."""

    def text(self) -> str:
        self._end_of_link()
        lines = [line.rstrip() for line in "".join(self._parts).split("\n")]
        return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()

    def write(self, text: str) -> None:
        """Puts a text down as it is, behind what waits."""
        if self._parts:
            self._parts.append("\n" * self._breaks or (" " if self._is_apart and not self._lead else ""))
        self._parts.append(self._lead + text)
        self._breaks, self._is_apart, self._lead, self._is_new_row = 0, False, "", False

    def words(self, text: str) -> None:
        """A text in which blanks and line breaks are blanks, unless they stand in `<pre>`."""
        if not text:
            return
        if self._is_verbatim:
            self.write(text)
            return
        self._is_apart = self._is_apart or text[0].isspace()
        if words := " ".join(text.split()):
            self.write(words)
            self._is_apart = text[-1].isspace()

    def blank(self, text: str) -> None:
        """Blanks and line breaks between two pieces of HTML."""
        self._is_apart = self._is_apart or bool(text)
        self._break(min(2, text.count("\n")))

    def tag(self, name: str, attributes: str, *, is_end: bool) -> None:
        """What a tag does to the words that follow."""
        match name:
            case "a":
                self._end_of_link()
                if not is_end:
                    self._link = (_address_in(attributes), len(self._parts))
            case "img":
                self.words(_value_in(_ALT, attributes))
            case "li" if not is_end:
                self._item()
            case "td" | "th" if not is_end:
                self._cell()
            case _:
                self._lay_out(name, is_end=is_end)

    def _lay_out(self, name: str, *, is_end: bool) -> None:
        if name in {"ul", "ol"}:
            self._list(name, is_end=is_end)
        if name == "br":
            self._breaks = min(2, self._breaks + (not self._lead))
        elif name in _PARAGRAPHS:
            self._break(2)
        elif name in _LINES:
            self._break(2 if name in {"ul", "ol"} and len(self._lists) + is_end == 1 else 1)
        if name == "pre":
            self._is_verbatim = not is_end
        if name == "tr":
            self._breaks, self._lead, self._is_new_row = 1, "", not is_end

    def _break(self, lines: int) -> None:
        if not self._lead and not self._is_new_row:
            self._breaks = max(self._breaks, lines)

    def _list(self, name: str, *, is_end: bool) -> None:
        if not is_end:
            self._lists.append(1 if name == "ol" else None)
        elif self._lists:
            self._lists.pop()

    def _item(self) -> None:
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._breaks = 1
        self._lead = "  " * (min(len(self._lists), _DEEPEST) - 1) + ("- " if number is None else f"{number}. ")

    def _cell(self) -> None:
        if self._parts and not self._is_new_row:
            self._breaks, self._lead = 0, " | "

    def _end_of_link(self) -> None:
        """The address stands behind the words, where it is another than they say."""
        if self._link is None:
            return
        address, begin = self._link
        self._link = None
        said = "".join(self._parts[begin:]).strip()
        if address and not said:
            self.write(address)
        elif address and address.removeprefix("mailto:") != said:
            self._parts.append(f" ({address})")


def _value_in(name: re.Pattern[str], attributes: str) -> str:
    found = name.search(attributes)
    return _unescaped(next(filter(None, found.groups()), "")) if found else ""


def _address_in(attributes: str) -> str:
    """Where a link leads; empty for what a browser would run, and for what leads nowhere from outside."""
    address = _value_in(_HREF, attributes).strip()
    return address if _ADDRESS.fullmatch(address) else ""
