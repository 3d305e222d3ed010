"""JSON on one line, whoever reads it: events of a stream and lines of an export."""

from typing import Any

import orjson

_LINE_ENDS = ((b"\xc2\x85", b"\\u0085"), (b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))
"""What may stand in JSON as it is, in UTF-8, and as an escape. It ends a line for `str.splitlines`, and so for what
reads lines by that: httpx, requests."""


def on_one_line(value: Any) -> bytes:
    """The value as compact JSON, without a line's end."""
    text = orjson.dumps(value)
    for sign, escaped in _LINE_ENDS:
        text = text.replace(sign, escaped)
    return text
