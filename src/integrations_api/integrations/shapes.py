"""Bounds on what may stand in a config: what passes here can be stored, shown and sent without surprises."""

import math
from collections.abc import Iterator
from typing import Any

from integrations_api.errors import FieldProblem
from integrations_api.integrations.pointers import child, dotted

MAX_DEPTH = 20
MAX_KEYS = 200
MAX_ITEMS = 2000
MAX_KEY_LENGTH = 200
MAX_STRING_LENGTH = 32_768
MAX_PROBLEMS = 20
_INT64 = range(-(2**63), 2**64)


def check_shape(config: dict[str, Any]) -> list[FieldProblem]:
    """Every bound the config breaks (at most 20 of them), none of them with a value in it."""
    walk = _Walk()
    problems = []
    for problem in walk.problems(config, "", depth=1):
        problems.append(problem)
        if len(problems) == MAX_PROBLEMS:
            break
    return problems


class _Walk:
    """Counts what it passes; stops descending where a bound is broken, so that the work is bounded too."""

    def __init__(self) -> None:
        self.keys = 0
        self.items = 0

    def problems(self, node: Any, pointer: str, depth: int) -> Iterator[FieldProblem]:
        if isinstance(node, dict | list) and depth > MAX_DEPTH:
            yield FieldProblem("config", f"must not be nested deeper than {MAX_DEPTH} levels")
        elif isinstance(node, dict):
            yield from self._members(node, pointer, depth)
        elif isinstance(node, list):
            yield from self._items(node, pointer, depth)
        else:
            yield from (FieldProblem(dotted(pointer), message) for message in scalar_problems(node))

    def _members(self, node: dict[Any, Any], pointer: str, depth: int) -> Iterator[FieldProblem]:
        self.keys += len(node)
        if self.keys > MAX_KEYS:
            yield FieldProblem("config", f"must not have more than {MAX_KEYS} keys in all")
            return
        for key, value in node.items():
            wrong = _key_problem(key)
            if wrong:
                yield FieldProblem(dotted(pointer), wrong)
            else:
                yield from self.problems(value, child(pointer, key), depth + 1)

    def _items(self, node: list[Any], pointer: str, depth: int) -> Iterator[FieldProblem]:
        self.items += len(node)
        if self.items > MAX_ITEMS:
            yield FieldProblem("config", f"must not have more than {MAX_ITEMS} list items in all")
            return
        for index, value in enumerate(node):
            yield from self.problems(value, child(pointer, index), depth + 1)


def _key_problem(key: Any) -> str | None:
    if not isinstance(key, str):
        return "must have strings as keys"
    if len(key) > MAX_KEY_LENGTH:
        return f"must not have keys longer than {MAX_KEY_LENGTH} characters"
    if not is_storable(key):
        return "must not have NUL or unpaired surrogates in its keys"
    return None


def scalar_problems(value: Any) -> Iterator[str]:
    """What is wrong with a string, number, boolean or null."""
    if isinstance(value, str):
        if len(value) > MAX_STRING_LENGTH:
            yield f"must not be longer than {MAX_STRING_LENGTH} characters"
        if not is_storable(value):
            yield "must not contain NUL or unpaired surrogates"
    elif isinstance(value, float) and not math.isfinite(value):
        yield "must be a finite number"
    elif isinstance(value, int) and value not in _INT64:
        yield "must be a number of at most 64 bits"
    elif value is not None and not isinstance(value, int | float):
        yield "must be a JSON value"


def is_storable(text: str) -> bool:
    """Whether PostgreSQL and JSON can hold the text: no NUL, no half of a surrogate pair."""
    if "\x00" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
