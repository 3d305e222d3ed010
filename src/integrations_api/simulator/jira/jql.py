"""JQL, as far as a sync and its administrators use it: parsed, checked against the site, and turned into a predicate.

Dates: an unquoted number is milliseconds since the epoch and absolute; a quoted literal is precise to the minute and
means the asking user's time zone. Source: facts/jira.md.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from .issues import ISSUE_TYPES, PRIORITIES, RESOLUTIONS, STATUSES, Issue

Predicate = Callable[[Issue], bool]
SortKey = tuple[Callable[[Issue], object], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<sign>>=|<=|!=|!~|[=<>~(),])|(?P<word>[^\s"'(),=<>!~]+))"""
)
_RELATIVE = re.compile(r"([+-]?\d+)([mhdw])")
_UNITS = {"m": 1, "h": 60, "d": 1440, "w": 10_080}
_FORMATS = ("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M", "%Y-%m-%d", "%Y/%m/%d")
_CLOSED = {"and", "or", "not", "in", "is", "empty", "null", "order", "by", "was", "changed"}


class JqlError(Exception):
    """What the site says about a query that it does not run."""


class Asker(Struct, frozen=True):
    """Who asks, when: for dates, and for which issues a query may name."""

    time_zone: str
    now: int
    """Milliseconds since the epoch."""
    find: Callable[[str], Issue | None]
    """An issue by id or key, if the user may see it."""
    projects: Callable[[], set[str]]
    """Keys that the user may see."""


class Parsed(Struct):
    """A query that can be run."""

    matches: Predicate
    order: list[SortKey]
    is_bounded: bool
    """Whether it has any condition at all."""

    def sorted(self, issues: Sequence[Issue]) -> list[Issue]:
        found = [issue for issue in issues if self.matches(issue)]
        for key, is_descending in reversed(self.order):
            found.sort(key=key, reverse=is_descending)  # type: ignore[arg-type]
        return found


def parse(text: str, asker: Asker) -> Parsed:
    """Raises JqlError."""
    return _Parser(text, asker).parse()


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise JqlError(f"Error in the JQL Query: The character at position {position} cannot be read.")
        kind = str(match.lastgroup)
        value = match[kind]
        tokens.append((kind, re.sub(r"\\(.)", r"\1", value[1:-1]) if kind == "text" else value))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, text: str, asker: Asker) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.asker = asker

    def parse(self) -> Parsed:
        is_bounded = bool(self.tokens) and not self._is_word("order")
        matches: Predicate = self._either() if is_bounded else (lambda issue: True)
        order: list[SortKey] = []
        if self._is_word("order"):
            self.at += 1
            self._expect_word("by")
            order = self._order()
        if self.at < len(self.tokens):
            raise self._surprise()
        return Parsed(matches, order or [(_SORT["created"], True)], is_bounded)

    # ---- tokens

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")

    def _is_word(self, *words: str) -> bool:
        kind, value = self._peek()
        return kind == "word" and value.lower() in words

    def _is_sign(self, sign: str) -> bool:
        return self._peek() == ("sign", sign)

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end":
            raise self._surprise()
        self.at += 1
        return token

    def _expect_word(self, word: str) -> None:
        if not self._is_word(word):
            raise self._surprise()
        self.at += 1

    def _expect_sign(self, sign: str) -> None:
        if not self._is_sign(sign):
            raise self._surprise()
        self.at += 1

    def _surprise(self) -> JqlError:
        kind, value = self._peek()
        found = "the end of the query" if kind == "end" else f"'{value}'"
        return JqlError(f"Error in the JQL Query: Expecting something else but got {found}.")

    # ---- clauses

    def _either(self) -> Predicate:
        parts = [self._all()]
        while self._is_word("or"):
            self.at += 1
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda issue: any(part(issue) for part in parts)

    def _all(self) -> Predicate:
        parts = [self._one()]
        while self._is_word("and"):
            self.at += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda issue: all(part(issue) for part in parts)

    def _one(self) -> Predicate:
        if self._is_word("not"):
            self.at += 1
            inner = self._one()
            return lambda issue: not inner(issue)
        if self._is_sign("("):
            self.at += 1
            inner = self._either()
            self._expect_sign(")")
            return inner
        return self._clause()

    def _clause(self) -> Predicate:
        kind, name = self._next()
        if kind == "sign" or (kind == "word" and name.lower() in _CLOSED):
            self.at -= 1
            raise self._surprise()
        column = _COLUMNS.get(name.lower())
        if column is None:
            raise JqlError(f"Field '{name}' does not exist or you do not have permission to view it.")
        operator = self._operator()
        if operator in ("is", "is not"):
            self._empty()
            return lambda issue: (not column.values(issue)) == (operator == "is")
        operands = self._list() if operator.endswith("in") else [self._operand()]
        return column.predicate(operator, operands, self.asker)

    def _operator(self) -> str:
        kind, value = self._next()
        word = value.lower()
        if kind == "sign" and value not in "(),":
            return value
        if kind == "word" and word == "in":
            return "in"
        if kind == "word" and word == "not":
            self._expect_word("in")
            return "not in"
        if kind == "word" and word == "is":
            if self._is_word("not"):
                self.at += 1
                return "is not"
            return "is"
        self.at -= 1
        raise self._surprise()

    def _empty(self) -> None:
        if not self._is_word("empty", "null"):
            raise self._surprise()
        self.at += 1

    def _list(self) -> list[tuple[str, str]]:
        self._expect_sign("(")
        found = [self._operand()]
        while self._is_sign(","):
            self.at += 1
            found.append(self._operand())
        self._expect_sign(")")
        return found

    def _operand(self) -> tuple[str, str]:
        kind, value = self._next()
        if kind == "sign" or (kind == "word" and value.lower() in _CLOSED):
            self.at -= 1
            raise self._surprise()
        return kind, value

    def _order(self) -> list[SortKey]:
        found = [self._sort()]
        while self._is_sign(","):
            self.at += 1
            found.append(self._sort())
        return found

    def _sort(self) -> SortKey:
        name = self._next()[1]
        key = _SORT.get(name.lower())
        if key is None:
            raise JqlError(f"Not able to sort using field '{name}'.")
        is_descending = self._is_word("desc")
        if self._is_word("asc", "desc"):
            self.at += 1
        return key, is_descending


# ---- fields


class _Words(Struct, frozen=True):
    """A field of names: compared without regard to case, by name or id; unknown values of a closed list are errors."""

    name: str
    values: Callable[[Issue], Sequence[str]]
    known: Callable[[Asker], set[str]] | None = None

    def predicate(self, operator: str, operands: list[tuple[str, str]], asker: Asker) -> Predicate:
        if operator not in ("=", "!=", "in", "not in", "~", "!~"):
            raise JqlError(f"The operator '{operator}' is not supported by the '{self.name}' field.")
        wanted = {value.casefold() for _, value in operands}
        if self.known is not None:
            known = {value.casefold() for value in self.known(asker)}
            for _, value in operands:
                if value.casefold() not in known:
                    raise JqlError(f"The value '{value}' does not exist for the field '{self.name}'.")
        is_wanted = operator in ("=", "in", "~")
        if "~" in operator:
            words = [word for value in wanted for word in value.split()]
            return lambda issue: all(word in " ".join(self.values(issue)).casefold() for word in words) == is_wanted
        return lambda issue: any(value.casefold() in wanted for value in self.values(issue)) == is_wanted


class _Dates(Struct, frozen=True):
    """A field of times."""

    name: str
    moment: Callable[[Issue], int]

    def values(self, issue: Issue) -> Sequence[str]:
        return [str(self.moment(issue))] if self.moment(issue) else []

    def predicate(self, operator: str, operands: list[tuple[str, str]], asker: Asker) -> Predicate:
        if operator not in _COMPARE:
            raise JqlError(f"The operator '{operator}' is not supported by the '{self.name}' field.")
        bound = _moment(self.name, operands[0], asker)
        compare, moment = _COMPARE[operator], self.moment
        return lambda issue: moment(issue) != 0 and compare(moment(issue), bound)


class _Keys(Struct, frozen=True):
    """Issues by id or key; one that cannot be seen is an error, as in the product."""

    name: str

    def values(self, issue: Issue) -> Sequence[str]:
        return [issue.key]

    def predicate(self, operator: str, operands: list[tuple[str, str]], asker: Asker) -> Predicate:
        if operator not in ("=", "!=", "in", "not in"):
            raise JqlError(f"The operator '{operator}' is not supported by the '{self.name}' field.")
        ids = set()
        for _, value in operands:
            issue = asker.find(value)
            if issue is None:
                raise JqlError(f"An issue with key '{value}' does not exist for field '{self.name}'.")
            ids.add(issue.id)
        is_wanted = operator in ("=", "in")
        return lambda issue: (issue.id in ids) == is_wanted


_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


def _moment(name: str, operand: tuple[str, str], asker: Asker) -> int:
    """Milliseconds since the epoch."""
    kind, value = operand
    if kind == "word" and re.fullmatch(r"-?\d{6,}|0", value):
        return int(value)
    if relative := _RELATIVE.fullmatch(value):
        minutes = int(relative[1]) * _UNITS[relative[2]]
        return asker.now + int(timedelta(minutes=minutes).total_seconds() * 1000)
    for form in _FORMATS:
        try:
            local = datetime.strptime(value, form).replace(tzinfo=ZoneInfo(asker.time_zone))
        except ValueError:
            continue
        return int(local.astimezone(UTC).timestamp() * 1000)
    raise JqlError(
        f"Date value '{value}' for field '{name}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', "
        "'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
    )


def _closed(names: dict[str, str]) -> Callable[[Asker], set[str]]:
    return lambda asker: {*names, *names.values()}


def _text(issue: Issue) -> list[str]:
    return [issue.summary, issue.description, *(comment.text for comment in issue.comments)]


_STATUS_IDS = {name: facts[0] for name, facts in STATUSES.items()}
_CATEGORIES = {facts[2]: facts[1] for facts in STATUSES.values()}
_COLUMNS: dict[str, _Words | _Dates | _Keys] = {
    "project": _Words("project", lambda issue: [issue.project], lambda asker: asker.projects()),
    "status": _Words("status", lambda i: [i.status, _STATUS_IDS[i.status]], _closed(_STATUS_IDS)),
    "statuscategory": _Words("statusCategory", lambda i: STATUSES[i.status][1:], _closed(_CATEGORIES)),
    "priority": _Words("priority", lambda i: [i.priority, PRIORITIES[i.priority]], _closed(PRIORITIES)),
    "issuetype": _Words("issuetype", lambda i: [i.issue_type, ISSUE_TYPES[i.issue_type]], _closed(ISSUE_TYPES)),
    "resolution": _Words("resolution", lambda i: [i.resolution] if i.resolution else [], _closed(RESOLUTIONS)),
    "assignee": _Words("assignee", lambda i: [i.assignee] if i.assignee else []),
    "reporter": _Words("reporter", lambda i: [i.reporter]),
    "labels": _Words("labels", lambda i: i.labels),
    "component": _Words("component", lambda i: i.components),
    "summary": _Words("summary", lambda i: [i.summary]),
    "text": _Words("text", _text),
    "created": _Dates("created", lambda i: i.created),
    "updated": _Dates("updated", lambda i: i.updated),
    "resolutiondate": _Dates("resolutiondate", lambda i: i.resolved),
    "id": _Keys("id"),
    "key": _Keys("key"),
    "issuekey": _Keys("issuekey"),
}
_COLUMNS["type"] = _COLUMNS["issuetype"]
_COLUMNS["resolved"] = _COLUMNS["resolutiondate"]
_SORT: dict[str, Callable[[Issue], object]] = {
    "created": lambda issue: issue.created,
    "updated": lambda issue: issue.updated,
    "key": lambda issue: (issue.project, issue.number),
    "issuekey": lambda issue: (issue.project, issue.number),
    "id": lambda issue: (issue.project, issue.number),
    "priority": lambda issue: PRIORITIES[issue.priority],
    "status": lambda issue: issue.status,
}
