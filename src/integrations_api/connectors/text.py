"""Texts as they are kept: such that PostgreSQL can store them, and titles on one line."""

import re
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    """A number or title: on one line, without control characters. Signs that are not seen stay: words have them."""
    return text.strip() if text.isprintable() else _CONTROLS.sub(" ", text).strip()


def trimmed(text: str) -> str:
    """Without blank lines at its beginning, and blanks at its end: code that a text begins with stays indented."""
    begins = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, begins) + 1 :].rstrip()


def storable(text: str) -> str:
    """The text with NUL and unpaired surrogates replaced by U+FFFD; surrogates that form a pair are joined."""
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def storable_json(value: Any) -> Any:
    """A JSON value with all its texts and keys made storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key): storable_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [storable_json(inner) for inner in value]
    return value
