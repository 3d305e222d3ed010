"""JQL, built and judged as plain values.

Times are unquoted milliseconds since the epoch: absolute, where a quoted literal means the asking user's zone. They
are whole minutes all the same, for an index need not be more precise. Source: facts/jira.md.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

MINUTE = 60_000
ORDER = "ORDER BY created ASC, key ASC"
NEWEST_FIRST = "ORDER BY updated DESC, key ASC"
EVERYTHING = "project is not EMPTY"
"""Cloud refuses a query without any condition."""
LONGEST_FILTER = 4000

_PIECE = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.|[()"']|[^()"'\\]+|\\""", re.DOTALL)
"""Quoted text, an escaped sign (which opens and closes nothing), a sign that does, and all between."""
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)


def millis(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return int(moment.astimezone(UTC).timestamp() * 1000)


def whole_minute(moment: int) -> int:
    """The minute that a time in milliseconds lies in."""
    return moment - moment % MINUTE


def joined(*conditions: str) -> str:
    """Conditions as one, empty ones left out; never none at all."""
    return " AND ".join(condition for condition in conditions if condition) or EVERYTHING


def one_of(column: str, values: Iterable[str]) -> str:
    """The condition that a column is one of the values; they are quoted, for a project may be called AND."""
    listed = ", ".join(f'"{value}"' for value in values)
    return f"{column} in ({listed})" if listed else ""


def scope(filter_text: str, projects: Iterable[str]) -> str:
    """What an administrator limits the sync to, as a condition; empty where there is no limit."""
    conditions = [one_of("project", projects), f"({filter_text})" if filter_text else ""]
    return joined(*conditions) if any(conditions) else ""


def filter_problem(text: str) -> str | None:
    """What is wrong with an administrator's filter, in words; None when it may be sent."""
    if len(text) > LONGEST_FILTER:
        return f"must not be longer than {LONGEST_FILTER} characters"
    if not text.isprintable():
        return "must not hold line breaks or control characters"
    pieces = _PIECE.findall(text)
    if any(piece in {'"', "'"} for piece in pieces):
        return "has a quote that is not closed"
    if _ORDER.search(" ".join("x" if _is_quoted(piece) else piece for piece in pieces)):
        return "must not set an order (ORDER BY): the sync needs its own"
    return _parentheses_problem(pieces)


def _is_quoted(piece: str) -> bool:
    return len(piece) > 1 and piece[0] in "\"'"


def _parentheses_problem(pieces: Iterable[str]) -> str | None:
    """A filter stands in parentheses between other conditions: it must not close them itself."""
    depth = 0
    for piece in pieces:
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            return "has a parenthesis that is not opened"
    return "has a parenthesis that is not closed" if depth else None
