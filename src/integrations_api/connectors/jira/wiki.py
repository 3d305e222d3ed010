"""Jira's wiki markup (Data Center) as plain text: what a reader would see, without the formatting.

Anybody who may write to an issue chooses this text, so every step takes time in proportion to its length: what looks
ahead is bounded, and what begins with blanks begins where they do (tests/security/test_patterns.py).
"""

import re
from collections.abc import Iterator

from integrations_api.connectors.text import trimmed

_VERBATIM = re.compile(r"\{(code|noformat)(?::([^}\n]{0,400}))?\}")
_LINES = (
    (re.compile(r"^h[1-6]\.[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^bq\.[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*-{4,}[ \t]*$", re.MULTILINE), ""),
    (re.compile(r"^([ \t]*)[*#-]*#[ \t]+", re.MULTILINE), r"\1# "),
    (re.compile(r"^([ \t]*)[*#-]*[*-][ \t]+", re.MULTILINE), r"\1- "),
)
_ROW = re.compile(r"^[ \t]*\|\|?(.*?)\|?\|[ \t]*$", re.MULTILINE)
_BETWEEN_HEADERS = re.compile(r"(?:(?<![ \t])[ \t]+)?\|\|[ \t]*")
_TITLE = re.compile(r"\btitle=([^|]*)")
_BLOCK = re.compile(r"\{(?:panel|quote|section|column|info|note|tip|warning)(?::([^}\n]{0,600}))?\}")
_MACROS = (
    (re.compile(r"\{(?:color|anchor)(?::[^}\n]{0,400})?\}"), ""),
    (re.compile(r"\{\{([^\n]{1,400}?)\}\}"), r"\1"),
)
_LINK = re.compile(r"\[([^|\]\n]{1,400})\|([^|\]\n]{1,2000})(?:\|[^\]\n]{0,100})?\]")
_LINKS = (
    (re.compile(r"\[~(?:accountid:)?([^\]\n]{1,200})\]"), r"@\1"),
    (re.compile(r"\[((?:https?|ftp|mailto|file):[^|\]\n]{1,2000})\]"), r"\1"),
    (re.compile(r"\[\^([^\]\n]{1,200})\]"), r"\1"),
    (re.compile(r"(?<![\w!])!([^!\s|][^!\n|]{0,200}\.\w{2,5})(?:\|[^!\n]{0,100})?!(?!\w)"), r"\1"),
)
# A span is bounded, for a mark that never closes would else be looked for to the end of a long line, each time.
_ADDRESS = r"(?<!\w)(?:https?|ftp|file)://[^\s|()\[\]{}<>\"]+"
_EMPHASIS = tuple(
    re.compile(rf"(?P<address>{_ADDRESS})|(?<![\w\\{mark}]){mark}(?=\S)([^\n]{{0,400}}?[^\s\\]){mark}(?![\w{mark}])")
    for mark in map(re.escape, ("*", "_", "+", "^", "~", "??"))
)
_WITHIN_WORDS = tuple(
    re.compile(rf"\{{{mark}\}}(?=\S)([^\n]{{0,400}}?\S)\{{{mark}\}}")
    for mark in map(re.escape, ("*", "_", "+", "^", "~", "-", "??"))
)
"""So Jira's own editor writes emphasis that begins or ends in the middle of a word."""
_PIECE = 10_000
_LONGEST_LINE = 40_000
"""One that is longer is cut there: Jira takes 32,767 characters, unless an administrator lets it take more."""
_ESCAPED = re.compile(r"\\([{}\[\]*_+^~!|#-])")


def to_text(markup: str) -> str:
    """The text of some markup. Code stays as it is; a backslash before a sign gives the sign."""
    markup = markup.replace("\r\n", "\n").replace("\r", "\n")
    parts: list[str] = []
    position, is_block = 0, False
    for start, title, inside, end in _verbatim(markup):
        _put(parts, _plain(markup[position:start]), is_block=is_block)
        _put(parts, title + inside.strip("\n"), is_block=bool(title) or inside.startswith("\n"))
        position, is_block = end, inside.endswith("\n")
    _put(parts, _plain(markup[position:]), is_block=is_block)
    return trimmed("".join(parts))


def _put(parts: list[str], text: str, *, is_block: bool) -> None:
    """Adds what comes before or after some code: on a new line where one of them is a block, or no blank parts them."""
    if not text:
        return
    if parts and not parts[-1].endswith("\n") and not text.startswith("\n"):
        is_parted = parts[-1][-1].isspace() or text[0].isspace()
        parts += ["\n"] if is_block or not is_parted else []
    parts.append(text)


def _verbatim(markup: str) -> Iterator[tuple[int, str, str, int]]:
    """Where each block of code begins, what stands above and in it, and where it ends; one that never ends is none."""
    never_ending: set[str] = set()
    position = 0
    while opening := _VERBATIM.search(markup, position):
        position = opening.end()
        closing = f"{{{opening[1]}}}"
        end = -1 if closing in never_ending else markup.find(closing, position)
        if end < 0:
            never_ending.add(closing)  # Looked for once, not for each that opens.
            continue
        yield opening.start(), _title_in(opening[2] or ""), markup[position:end], end + len(closing)
        position = end + len(closing)


def _plain(markup: str) -> str:
    """Line by line, a few at a time: no mark reaches beyond its line, and other threads get a turn in between."""
    return "".join(map(_read, _pieces(markup)))


def _pieces(markup: str) -> Iterator[str]:
    position = 0
    while len(markup) - position > _PIECE:
        end = markup.find("\n", position + _PIECE, position + _LONGEST_LINE) + 1
        following = end or position + _LONGEST_LINE
        yield markup[position:following]
        position = following
    yield markup[position:]


def _read(markup: str) -> str:
    markup = _LINK.sub(_told_once, _BLOCK.sub(_edge_of_block, markup))
    for pattern, replacement in (*_MACROS, *_LINKS, *_LINES):
        markup = pattern.sub(replacement, markup)
    markup = _ROW.sub(_cells, markup)
    for pattern in _WITHIN_WORDS:
        markup = pattern.sub(r"\1", markup)
    for pattern in _EMPHASIS:
        markup = pattern.sub(_without_marks, markup)
    return _ESCAPED.sub(r"\1", markup.replace("\\\\", "\n"))


def _told_once(link: re.Match[str]) -> str:
    """What a link says, and where it leads to unless it says just that."""
    text, address = link[1], link[2]
    return text if address in (text, f"mailto:{text}") else f"{text} ({address})"


def _cells(row: re.Match[str]) -> str:
    """A table's row; two bars in any other line are what somebody wrote, an "or" of a program say."""
    return _BETWEEN_HEADERS.sub(" | ", row[1])


def _without_marks(found: re.Match[str]) -> str:
    """What is emphasized; signs within an address belong to it."""
    address: str | None = found["address"]
    return address or str(found[2])


def _edge_of_block(macro: re.Match[str]) -> str:
    """Where a panel or a quotation begins or ends: its title, and a new line where words would become one."""
    title = _title_in(macro[1] or "")
    before = macro.string[max(0, macro.start() - 1) : macro.start()]
    after = macro.string[macro.end() : macro.end() + 1]
    is_glued = bool(before.strip()) and bool(title or after.strip())
    return f"\n{title}" if is_glued else title


def _title_in(parameters: str) -> str:
    """The title of a panel or of code stands above it; one without leaves nothing."""
    title = _TITLE.search(parameters)
    return f"{title[1]}\n" if title else ""
