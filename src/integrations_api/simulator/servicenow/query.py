"""The encoded query: `active=true^priority<=2^ORDERBYsys_id`.

`^` is AND, `^OR` binds to the condition before it, `^NQ` starts another group (groups are ORed), `^^` is a caret
within a value. What a real instance drops in silence (a term about an unknown column, a misspelt or miscased name) is
dropped here too. What a real instance would understand and this one does not is refused with `UnsupportedQueryError`,
so that a test notices.

Strings compare as MySQL compares them with ServiceNow's collation: without regard to case. That holds for sys_id as
well, for `=` as for the bounds `>` and `<`, and for the order of ORDERBYsys_id: `AB…` stands between `aa…` and `ac…`.
"""

import re
from collections.abc import Callable

from msgspec import Struct, field

from .columns import Column

OPERATORS = (
    "NOT IN",
    "NOT LIKE",
    "STARTSWITH",
    "ENDSWITH",
    "ISNOTEMPTY",
    "ISEMPTY",
    "LIKE",
    "IN",
    ">=",
    "<=",
    "!=",
    "=",
    ">",
    "<",
)
"""Longer names stand before those that they begin with."""

RANGE_OPERATORS = frozenset({">", ">=", "<", "<=", "LIKE", "NOT LIKE", "STARTSWITH", "ENDSWITH"})
"""What the query ACL `query_range` governs, sorting beside it."""

_TERM = re.compile(r"(?P<column>[a-z_][a-z0-9_.]*)(?P<rest>.*)", re.DOTALL)
_OPERATOR = re.compile("|".join(map(re.escape, OPERATORS)))
_KNOWN_ELSEWHERE = re.compile(
    r"BETWEEN|SAMEAS|NSAMEAS|GT_FIELD|LT_FIELD|GT_OR_EQUALS_FIELD|LT_OR_EQUALS_FIELD|ON|NOTON|DATEPART|RELATIVE[A-Z]{2}|ANYTHING|"
    r"EMPTYSTRING|VALCHANGES|CHANGES|INSTANCEOF|DYNAMIC|MORETHAN|LESSTHAN|CONTAINS|DOES NOT CONTAIN|\*|%"
)

FindColumn = Callable[[str], Column | None]


class UnsupportedQueryError(Exception):
    """The query uses something that ServiceNow has and the simulator has not."""


class Condition(Struct, frozen=True):
    """One comparison; `column` may be dot-walked."""

    column: str
    operator: str
    value: str


class Ordering(Struct, frozen=True):
    column: str
    descending: bool = False


class Query(Struct):
    """A parsed query: groups are ORed, the clauses of a group are ANDed, the conditions of a clause are ORed."""

    groups: list[list[list[Condition]]] = field(default_factory=lambda: [[]])
    order: list[Ordering] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    impossible: bool = False
    is_unordered: bool = False
    """The sort was taken away: rows come in an order that has nothing to do with what was asked."""


def split_terms(text: str) -> list[str]:
    """The terms between carets, with `^^` turned back into the caret it stands for."""
    return [term.replace("\0", "^") for term in text.replace("^^", "\0").split("^")]


def parse(text: str, find_column: FindColumn) -> Query:
    """Reads an encoded query.

    Terms about columns that `find_column` does not know go to `dropped`, and so do terms that are no terms. Raises
    UnsupportedQueryError.
    """
    query = Query()
    for term in split_terms(text):
        if term in ("", "EQ"):
            continue
        if term.startswith("ORDERBY"):
            _read_order(term, query, find_column)
        elif term.startswith("NQ"):
            query.groups.append([])
            _read_condition(term[2:], query, find_column, is_alternative=False)
        elif term.startswith("OR"):
            _read_condition(term[2:], query, find_column, is_alternative=True)
        else:
            _read_condition(term, query, find_column, is_alternative=False)
    return query


def _read_order(term: str, query: Query, find_column: FindColumn) -> None:
    descending = term.startswith("ORDERBYDESC")
    column = term.removeprefix("ORDERBYDESC" if descending else "ORDERBY")
    if find_column(column) is None:
        query.dropped.append(term)
    else:
        query.order.append(Ordering(column, descending))


def _read_condition(term: str, query: Query, find_column: FindColumn, *, is_alternative: bool) -> None:
    if not term:
        return
    condition = _parse_condition(term)
    if condition is None or find_column(condition.column) is None:
        query.dropped.append(term)
        return
    group = query.groups[-1]
    if is_alternative and group:
        group[-1].append(condition)
    else:
        group.append([condition])


def _parse_condition(term: str) -> Condition | None:
    for word in ("GROUPBY", "JOIN", "RLQUERY", "SUBQUERY", "GOTO", "HAVING", "TRENDBY"):
        if term.startswith(word):
            raise UnsupportedQueryError(f"The simulator does not implement {word}: {term}")
    match = _TERM.fullmatch(term)
    if match is None:
        return None
    rest = match["rest"]
    if operator := _OPERATOR.match(rest):
        value = rest[operator.end() :]
        if value.startswith("javascript:"):
            raise UnsupportedQueryError(f"The simulator does not run scripts: {term}")
        return Condition(match["column"], operator[0], value)
    if _KNOWN_ELSEWHERE.match(rest):
        raise UnsupportedQueryError(f"The simulator does not implement this operator: {term}")
    return None
