"""Reads what a PromQL expression asks for: which metrics, by which labels. It judges no types and computes nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s+ | (?P<string>"[^"]*") | (?P<range>\[[^\]]+\]) | (?P<number>\d+(\.\d+)?[smhdw]?)
      | (?P<word>[a-zA-Z_:][\w:]*) | (?P<mark>=~|!~|!=|==|>=|<=|[=<>+*/%(){},-])""",
    re.VERBOSE,
)
_GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
_OPERATORS = {"and", "or", "unless", "bool"}
_FUNCTIONS = {"sum", "max", "min", "count", "topk", "rate", "increase", "histogram_quantile", "absent"}


@dataclass(frozen=True, slots=True)
class Matcher:
    """`label="value"` and the like."""

    label: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What an expression names: metrics with their matchers, and the labels it groups by."""

    metrics: tuple[tuple[str, tuple[Matcher, ...]], ...]
    grouped_by: frozenset[str]


def read_promql(expression: str) -> Asked:
    """Raises ValueError for what this reader does not know: it shall not pass over what it would have to check."""
    tokens = list(_tokens(expression))
    metrics, grouped_by = [], set[str]()
    while tokens:
        kind, word = tokens.pop(0)
        if kind != "word" or word in _OPERATORS | _FUNCTIONS:
            continue
        if word in _GROUPING:
            grouped_by |= {name for name, _, _ in _enclosed(tokens, "(", ")")}
        elif tokens[:1] == [("mark", "(")]:
            raise ValueError(f"no function that this reader knows: {word}")
        else:
            found = _enclosed(tokens, "{", "}") if tokens[:1] == [("mark", "{")] else []
            metrics.append((word, tuple(Matcher(*matcher) for matcher in found)))
    return Asked(tuple(metrics), frozenset(grouped_by))


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"not to be read from here: {expression[position:]}")
        if match.lastgroup is not None and match.group().strip():
            kind = next(name for name in ("string", "range", "number", "word", "mark") if match[name])
            yield kind, match.group()
        position = match.end()


def _enclosed(tokens: list[tuple[str, str]], opening: str, closing: str) -> list[tuple[str, str, str]]:
    """The comma-separated items between two marks, as (name, operator, value); taken from `tokens`."""
    if tokens.pop(0) != ("mark", opening):
        raise ValueError(f"expected {opening}")
    end = tokens.index(("mark", closing))
    inside, tokens[: end + 1] = tokens[:end], []
    items: list[list[str]] = [[]]
    for kind, word in inside:
        if word == ",":
            items.append([])
        else:
            items[-1].append(word.strip('"') if kind == "string" else word)
    filled = [item for item in items if item]
    if any(len(item) not in {1, 3} for item in filled):
        raise ValueError(f"neither a label nor a matcher: {filled}")
    return [(item[0], item[1] if len(item) == 3 else "", item[2] if len(item) == 3 else "") for item in filled]
