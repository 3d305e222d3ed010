"""Jira's wiki markup (Data Center) as plain text: what a reader would see, without the formatting."""

import re

_VERBATIM = re.compile(r"\{(code|noformat)(?::[^}\n]{0,400})?\}(.*?)\{\1\}", re.DOTALL)
_LINES = (
    (re.compile(r"^h[1-6]\.[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^bq\.[ \t]+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*-{4,}[ \t]*$", re.MULTILINE), ""),
    (re.compile(r"^([ \t]*)[*#-]*#[ \t]+", re.MULTILINE), r"\1# "),
    (re.compile(r"^([ \t]*)[*#-]*[*-][ \t]+", re.MULTILINE), r"\1- "),
    (re.compile(r"^[ \t]*\|\|?(.*?)\|?\|[ \t]*$", re.MULTILINE), r"\1"),
    (re.compile(r"[ \t]*\|\|[ \t]*"), " | "),
)
_MACROS = (
    (re.compile(r"\{panel:[^}\n]{0,200}?\btitle=([^|}\n]{0,200})[^}\n]{0,200}\}"), r"\1\n"),
    (re.compile(r"\{(?:color|panel|quote|anchor|section|column|info|note|tip|warning)(?::[^}\n]{0,400})?\}"), ""),
    (re.compile(r"\{\{([^\n]{1,400}?)\}\}"), r"\1"),
)
_LINKS = (
    (re.compile(r"\[([^|\]\n]{1,400})\|([^|\]\n]{1,2000})(?:\|[^\]\n]{0,100})?\]"), r"\1 (\2)"),
    (re.compile(r"\[~(?:accountid:)?([^\]\n]{1,200})\]"), r"@\1"),
    (re.compile(r"\[((?:https?|ftp|mailto|file):[^|\]\n]{1,2000})\]"), r"\1"),
    (re.compile(r"\[\^([^\]\n]{1,200})\]"), r"\1"),
    (re.compile(r"(?<![\w!])!([^!\s|][^!\n|]{0,200}\.\w{2,5})(?:\|[^!\n]{0,100})?!(?!\w)"), r"\1"),
)
# A span is bounded, for a mark that never closes would else be looked for to the end of a long line, each time.
_EMPHASIS = tuple(
    re.compile(rf"(?<![\w\\{mark}]){mark}(?=\S)([^\n]{{0,400}}?[^\s\\]){mark}(?![\w{mark}])")
    for mark in map(re.escape, ("*", "_", "+", "^", "~", "??"))
)
_ESCAPED = re.compile(r"\\([{}\[\]*_+^~!|#-])")


def to_text(markup: str) -> str:
    """The text of some markup. Code stays as it is; a backslash before a sign gives the sign."""
    markup = markup.replace("\r\n", "\n").replace("\r", "\n")
    parts, position = [], 0
    for block in _VERBATIM.finditer(markup):
        parts += [_plain(markup[position : block.start()]), block[2].strip("\n")]
        position = block.end()
    parts.append(_plain(markup[position:]))
    return "".join(parts).strip()


def _plain(markup: str) -> str:
    for pattern, replacement in (*_MACROS, *_LINKS, *_LINES):
        markup = pattern.sub(replacement, markup)
    for pattern in _EMPHASIS:
        markup = pattern.sub(r"\1", markup)
    return _ESCAPED.sub(r"\1", markup.replace("\\\\", "\n"))
