"""Reads GraphQL: enough of the language for queries with variables, aliases, fragments and nested arguments."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

_TOKEN = re.compile(r'\s*(?:#[^\n]*\n\s*|,\s*)*("(?:[^"\\\n]|\\.)*"|\.\.\.|[!$():=@\[\]{|}]|-?\d+|[_A-Za-z]\w*)')


class QueryError(Exception):
    """The query cannot be read, or asks for what there is not."""


class Variable(Struct, frozen=True):
    """`$name` where a value stands."""

    name: str


class Selection(Struct):
    """A field, or with `on` an inline fragment, or with `spread` a named one."""

    name: str = ""
    alias: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: list["Selection"] = field(default_factory=list)
    on: str = ""
    spread: str = ""


class Document(Struct):
    """One query and its fragments."""

    fields: list[Selection]
    fragments: dict[str, Selection]


def read_query(text: str) -> Document:
    """Raises QueryError."""
    return _Reader(text).document()


def valued(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with its variables filled in."""
    if isinstance(value, Variable):
        return variables.get(value.name)
    if isinstance(value, list):
        return [valued(one, variables) for one in value]
    if isinstance(value, dict):
        return {name: valued(one, variables) for name, one in value.items()}
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise QueryError(f'Parse error on "{text[position : position + 10].strip()}"')
            self.tokens.append(match[1])
            position = match.end()
        self.at = 0

    def document(self) -> Document:
        fields: list[Selection] = []
        fragments: dict[str, Selection] = {}
        while self.at < len(self.tokens):
            if self.peek() == "fragment":
                self.take("fragment")
                name = self.take()
                self.take("on")
                fragments[name] = Selection(on=self.take(), fields=self.selections())
            else:
                if self.peek() == "query":
                    self.take("query")
                    if self.peek() not in ("(", "{"):
                        self.take()
                    self.declarations()
                fields = self.selections()
        return Document(fields, fragments)

    def declarations(self) -> None:
        """`($name: Type! = default, …)`: types are not checked here."""
        if self.peek() != "(":
            return
        depth = 0
        while True:
            word = self.take()
            depth += (word == "(") - (word == ")")
            if depth == 0:
                return

    def selections(self) -> list[Selection]:
        self.take("{")
        found = []
        while self.peek() != "}":
            found.append(self.selection())
        self.take("}")
        return found

    def selection(self) -> Selection:
        if self.peek() == "...":
            self.take("...")
            if self.peek() == "on":
                self.take("on")
                return Selection(on=self.take(), fields=self.selections())
            return Selection(spread=self.take())
        name = alias = self.take()
        if self.peek() == ":":
            self.take(":")
            name = self.take()
        arguments = self.arguments() if self.peek() == "(" else {}
        fields = self.selections() if self.peek() == "{" else []
        return Selection(name, alias, arguments, fields)

    def arguments(self) -> dict[str, Any]:
        self.take("(")
        found = {}
        while self.peek() != ")":
            name = self.take()
            self.take(":")
            found[name] = self.value()
        self.take(")")
        return found

    def value(self) -> Any:
        word = self.take()
        if word == "$":
            return Variable(self.take())
        if word == "[":
            values = []
            while self.peek() != "]":
                values.append(self.value())
            self.take("]")
            return values
        if word == "{":
            found = {}
            while self.peek() != "}":
                name = self.take()
                self.take(":")
                found[name] = self.value()
            self.take("}")
            return found
        return _scalar(word)

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        word = self.peek()
        if not word or (expected and word != expected):
            raise QueryError(f'Expected {expected or "more"}, found "{word or "the end"}"')
        self.at += 1
        return word


def _scalar(word: str) -> Any:
    if word.startswith('"'):
        return word[1:-1].encode().decode("unicode_escape")
    if word.lstrip("-").isdigit():
        return int(word)
    return {"true": True, "false": False, "null": None}.get(word, word)
