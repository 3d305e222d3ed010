"""Encoded queries, built and judged as plain values.

`^` joins conditions; `^OR` binds to the condition before it, so a filter with alternatives can be followed by more
conditions; `^NQ` could not, and is refused.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

STAMP = "%Y-%m-%d %H:%M:%S"
ORDER = "ORDERBYsys_id"
LONGEST_FILTER = 2000

COLUMN = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*")
_OPERATORS = (
    "NOT IN", "NOT LIKE", "DOES NOT CONTAIN", "STARTSWITH", "ENDSWITH", "ISNOTEMPTY", "ISEMPTY", "EMPTYSTRING",
    "ANYTHING", "CONTAINS", "BETWEEN", "NSAMEAS", "SAMEAS", "RELATIVE", "DATEPART", "DYNAMIC", "INSTANCEOF", "NOTON",
    "MORETHAN", "LESSTHAN", "LIKE", "IN", "ON", ">=", "<=", "!=", "=", ">", "<", "%", "*",
)  # fmt: skip
_CONDITION = re.compile(
    f"(?P<column>{COLUMN.pattern})(?P<operator>{'|'.join(map(re.escape, _OPERATORS))})(?P<value>.*)", re.DOTALL
)


class Condition(Struct, frozen=True):
    """One comparison of a filter."""

    column: str
    operator: str
    value: str


Clause = tuple[Condition, ...]
"""Alternatives, joined by OR; mostly one."""


def quoted(value: str) -> str:
    """A value as it stands in a query: carets doubled."""
    return value.replace("^", "^^")


def joined(*conditions: str) -> str:
    """Conditions as one query, empty ones left out."""
    return "^".join(condition for condition in conditions if condition)


def stamp(moment: datetime, shift: timedelta = timedelta(0)) -> str:
    """A time as a query says it; `shift` moves it for a source that reads literals in the session's zone."""
    return (moment.astimezone(UTC) + shift).strftime(STAMP)


def read_stamp(text: str) -> datetime | None:
    """A time as `value` holds it: UTC, whole seconds; None for anything else."""
    try:
        return datetime.fromisoformat(f"{text}+00:00") if len(text) == 19 else None
    except ValueError:
        return None


def any_of(column: str, values: Iterable[str]) -> str:
    """The condition that a column is one of the values. A comma cannot be quoted within IN."""
    values = list(values)
    if any("," in value for value in values):
        return "^OR".join(f"{column}={quoted(value)}" for value in values)
    return f"{column}IN{quoted(','.join(values))}"


def clean_filter(text: str) -> str:
    """A filter as it is sent: without the `^EQ` that ServiceNow's own "Copy query" appends."""
    return re.sub(r"\^EQ$", "", text.strip())


def clauses_of(text: str) -> list[Clause]:
    """The clauses of a valid filter, in order: each of them must hold."""
    found: list[Clause] = []
    for term in _terms(clean_filter(text)):
        match = _CONDITION.fullmatch(term.removeprefix("OR"))
        if match is None:
            continue
        condition = Condition(match["column"], match["operator"], match["value"])
        if found and term.startswith("OR"):
            found[-1] = (*found[-1], condition)
        else:
            found.append((condition,))
    return found


def conditions_of(text: str) -> list[Condition]:
    """The conditions of a valid filter, in order."""
    return [condition for clause in clauses_of(text) for condition in clause]


def _terms(text: str) -> list[str]:
    return [term.replace("\0", "^") for term in text.replace("^^", "\0").split("^")] if text else []


def filter_problem(text: str) -> str | None:
    """What is wrong with an administrator's filter, in words; None when it may be sent.

    ServiceNow drops what it does not understand and answers with the rest, so a slip here would load the wrong set.
    """
    if len(text) > LONGEST_FILTER:
        return f"must not be longer than {LONGEST_FILTER} characters"
    if not text.isprintable():
        return "must not hold line breaks or control characters"
    if "javascript:" in re.sub(r"\s", "", text).lower():
        return "must not hold javascript:"
    terms = _terms(clean_filter(text))
    for position, term in enumerate(terms):
        if problem := _term_problem(term, is_first=position == 0):
            return problem
    return None


def _term_problem(term: str, *, is_first: bool) -> str | None:
    if not term:
        return "must not have an empty condition (^ at an end, or a caret that is not doubled)"
    for word, why in (
        ("ORDERBY", "must not set an order (ORDERBY): the sync needs its own"),
        ("NQ", "must not start a new query (^NQ): conditions added by the sync would not hold for it"),
        ("GROUPBY", "must not group (GROUPBY)"),
    ):
        if term.startswith(word):
            return why
    if term.startswith("OR") and is_first:
        return "must not begin with OR"
    if _CONDITION.fullmatch(term.removeprefix("OR")) is None:
        return f"has a condition that cannot be read: {term[:60]!r} (expected column, operator, value)"
    return None


class Range(Struct, frozen=True):
    """A stretch of the sys_id order: above `low` (or from it on), up to and with `high`; open where empty or None."""

    low: str = ""
    includes_low: bool = False
    high: str | None = None

    def condition(self) -> str:
        """The range as conditions of a query."""
        lower = f"sys_id{'>=' if self.includes_low else '>'}{quoted(self.low)}" if self.low else ""
        upper = f"sys_id<={quoted(self.high)}" if self.high is not None else ""
        return joined(lower, upper)

    def after(self, sys_id: str) -> "Range":
        """What is left once everything up to `sys_id` was read."""
        return Range(sys_id, False, self.high)

    def starting_at(self, sys_id: str) -> "Range":
        """What is left when nothing before `sys_id` can be seen."""
        return Range(sys_id, True, self.high)

    def up_to(self, sys_id: str) -> "Range":
        """The part that ends with `sys_id`."""
        return Range(self.low, self.includes_low, sys_id)

    def halves(self) -> tuple["Range", "Range"] | None:
        """Two ranges that cover this one; None where there is nothing between the bounds."""
        middle = midpoint(self.low, self.high)
        return None if middle is None else (self.up_to(middle), self.after(middle))

    def as_json(self) -> list[object]:
        """For a cursor."""
        return [self.low, self.includes_low, self.high]

    @classmethod
    def from_json(cls, value: Sequence[object]) -> "Range":
        """Reads what `as_json` wrote."""
        low, includes_low, high = value
        return cls(str(low), bool(includes_low), None if high is None else str(high))


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PLACES = 40
"""Longer than any sys_id (32), so that two neighbours still have something between them."""


def midpoint(low: str, high: str | None) -> str | None:
    """An id about half way between the bounds in case-folded order, as short as it can be; None if there is none.

    Ids need not be hexadecimal: they are read as fractions in base 36, a sign that is no digit as the one below it.
    """
    bottom = _fraction(low)
    top = len(_DIGITS) ** _PLACES if high is None else _fraction(high)
    for places in range(1, _PLACES + 1):
        unit = len(_DIGITS) ** (_PLACES - places)
        middle = (bottom + top) // 2 // unit * unit
        if bottom < middle < top:
            return _as_id(middle)
    return None


def _fraction(text: str) -> int:
    number = 0
    for place in range(_PLACES):
        sign = text[place].casefold() if place < len(text) else "0"
        number = number * len(_DIGITS) + max(0, _DIGITS.find(sign))
    return number


def _as_id(number: int) -> str:
    signs = []
    for _ in range(_PLACES):
        number, digit = divmod(number, len(_DIGITS))
        signs.append(_DIGITS[digit])
    return "".join(reversed(signs)).rstrip("0")


def lanes(count: int) -> dict[str, Range]:
    """The sys_id space as so many ranges of about the same size (ids are mostly random hex), ends open."""
    if count <= 1:
        return {"all": Range()}
    bounds = [f"{round(256 * part / count):02x}" for part in range(1, count)]
    lows, highs = ["", *bounds], [*bounds, None]
    return {
        f"{n + 1} of {count}": Range(low, False, high) for n, (low, high) in enumerate(zip(lows, highs, strict=True))
    }
