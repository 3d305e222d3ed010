"""Atlassian Document Format (Cloud) as plain text: what a reader would see, without the formatting."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from integrations_api.connectors.text import trimmed

MOST_LEVELS = 100
"""Deeper than any editor nests; what lies below is left out."""

_MOST_INDENTED = 20
"""Levels whose lists are indented: each puts its blanks before every line below it."""
_GREATEST_ORDER = 1_000_000

_INLINE = {"text", "hardBreak", "mention", "emoji", "date", "status", "inlineCard", "placeholder", "mediaInline"}


def to_text(document: Any) -> str:
    """The text of a document; empty for what is none. Unknown nodes give what they contain."""
    return trimmed(_block(document, 0)) if isinstance(document, dict) else ""


def _children(node: dict[str, Any]) -> list[dict[str, Any]]:
    content = node.get("content")
    return [child for child in content if isinstance(child, dict)] if isinstance(content, list) else []


def _attribute(node: dict[str, Any], *names: str) -> str:
    attributes = node.get("attrs")
    if not isinstance(attributes, dict):
        return ""
    return next((value for name in names if isinstance(value := attributes.get(name), str) and value), "")


def _block(node: dict[str, Any], level: int) -> str:
    if level > MOST_LEVELS:
        return ""
    kind = str(node.get("type", ""))
    if kind in _INLINE:
        return _inline(node)
    rule = _BLOCKS.get(kind)
    return rule(node, level + 1) if rule else _flow(node, level + 1)


def _flow(node: dict[str, Any], level: int) -> str:
    """Blocks parted by an empty line; runs of inline nodes are one block."""
    parts: list[str] = []
    line: list[str] = []
    for child in _with_whole_links(_children(node)):
        if str(child.get("type")) in _INLINE:
            line.append(_inline(child))
            continue
        if line:
            parts.append("".join(line))
            line = []
        parts.append(_block(child, level))
    parts.append("".join(line))
    return "\n\n".join(part.strip("\n") for part in parts if part.strip())


def _with_whole_links(nodes: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Neighbouring texts of one link as one: a word of it that is bold is a text of its own."""
    for address, run in groupby(nodes, key=_address):
        if address:
            first, *rest = run
            yield {**first, "text": "".join(map(_words, (first, *rest)))}
        else:
            yield from run


def _inline(node: dict[str, Any]) -> str:
    match node.get("type"):
        case "text":
            return _linked(node)
        case "hardBreak":
            return "\n"
        case "mention":
            return _mention(node)
        case "status" | "placeholder":
            return _attribute(node, "text")
        case "emoji":
            return _attribute(node, "text", "shortName")
        case "inlineCard":
            return _attribute(node, "url")
        case "date":
            return _day(_attribute(node, "timestamp"))
        case _:
            return _attribute(node, "alt", "url")


def _linked(node: dict[str, Any]) -> str:
    """A text; where it is a link to something else than it says, that stands behind it."""
    text, address = _words(node), _address(node)
    return f"{text} ({address})" if text and address not in ("", text, f"mailto:{text}") else text


def _words(node: dict[str, Any]) -> str:
    text = node.get("text")
    return text if isinstance(text, str) else ""


def _address(node: dict[str, Any]) -> str:
    """Where a text leads to; empty for what is no link."""
    marks = node.get("marks") if node.get("type") == "text" else None
    links = (mark for mark in marks if isinstance(mark, dict)) if isinstance(marks, list) else ()
    return next((_attribute(mark, "href") for mark in links if mark.get("type") == "link"), "")


def _mention(node: dict[str, Any]) -> str:
    """Who is mentioned; a program may write no more than the account."""
    account = _attribute(node, "id")
    return _attribute(node, "text") or (f"@{account}" if account else "")


def _day(timestamp: str) -> str:
    try:
        return datetime.fromtimestamp(int(timestamp) / 1000, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return timestamp


def _listed(marks: Callable[[int], str]) -> Callable[[dict[str, Any], int], str]:
    def rule(node: dict[str, Any], level: int) -> str:
        lines = []
        for position, child in enumerate(_children(node), start=_first(node)):
            text = _block(child, level).replace("\n\n", "\n")
            mark = marks(position)
            lines.append(mark + (text.replace("\n", "\n" + " " * len(mark)) if level <= _MOST_INDENTED else text))
        return "\n".join(lines)

    return rule


def _first(node: dict[str, Any]) -> int:
    """The number that a list begins with: one that goes on after something in between says so."""
    attributes = node.get("attrs")
    order = attributes.get("order") if isinstance(attributes, dict) else None
    return order if type(order) is int and 0 <= order <= _GREATEST_ORDER else 1


def _tasks(node: dict[str, Any], level: int) -> str:
    lines = []
    for child in _children(node):
        if child.get("type") == "taskList":  # Tasks below the one before it.
            below = _block(child, level)
            lines.append("  " + (below.replace("\n", "\n  ") if level <= _MOST_INDENTED else below))
            continue
        mark = "[x] " if _attribute(child, "state") == "DONE" else "[ ] "
        lines.append(mark + _block(child, level))
    return "\n".join(lines)


def _table(node: dict[str, Any], level: int) -> str:
    return "\n".join(_row([_cell(cell, level) for cell in _children(row)]) for row in _children(node))


def _cell(cell: dict[str, Any], level: int) -> str:
    return " ".join(_block(cell, level + 1).split())


def _row(cells: Sequence[str]) -> str:
    return " | ".join(cells)


def _expand(node: dict[str, Any], level: int) -> str:
    return "\n\n".join(part for part in (_attribute(node, "title"), _flow(node, level)) if part)


_BLOCKS: dict[str, Callable[[dict[str, Any], int], str]] = {
    "bulletList": _listed(lambda position: "- "),
    "orderedList": _listed(lambda position: f"{position}. "),
    "decisionList": _listed(lambda position: "- "),
    "taskList": _tasks,
    "table": _table,
    "expand": _expand,
    "nestedExpand": _expand,
    "rule": lambda node, level: "",
    "media": lambda node, level: _attribute(node, "alt", "url"),
    "blockCard": lambda node, level: _attribute(node, "url"),
    "embedCard": lambda node, level: _attribute(node, "url"),
}
