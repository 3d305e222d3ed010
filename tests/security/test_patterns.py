"""What others send is read in time that grows with its length, not with the square of it.

An issue's text is written by anybody who may file one, and the event loop stands still while it is read: an hour of
that is an hour without heartbeats and answers.
"""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from httpx import Headers

import integrations_api
from integrations_api.access.passwords import _normal
from integrations_api.connectors.github.client import _NEXT
from integrations_api.connectors.github.mapping import _prefixed
from integrations_api.connectors.http import Answer
from integrations_api.connectors.jira.jql import filter_problem
from integrations_api.connectors.jira.wiki import to_text
from integrations_api.connectors.servicenow.conditions import _compared
from integrations_api.integrations.origins import holds_credentials
from integrations_api.knowledge.terms import composed
from integrations_api.search.words import spelled, title_and_rest
from integrations_api.vault.mask import is_secret_key

LENGTH = 20_000
MOST_SECONDS = 0.4
"""Of processor time. What was found here took from two to fifteen."""
SHORTER, FEWER_SECONDS = 6_000, 0.2
NOT_SERVED = ("integrations_api.simulator", "integrations_api.demo", "integrations_api.__main__")

_ALWAYS = [" ", "\t", "\n", " \n", "a", "1", "a ", "a.", "A_", "<>;", "a://", "{code:x}", "{panel:title=", "{{a"]
_LITERALS = re.compile(r"(?:\\[^\w\s]|[\w:;=<>/@#!~, \"'-])+")


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize(
    "piece",
    ["{code:x}", "{noformat:x}", "{panel:title=", "{panel:a", " ", "\t", "| ", "||", "[", "[a|", "[~", "[http:", "{{",
     "*a ", "_", "~", "??a", "!a.b", "#", "-", "\\", "{color:", "h1. "],
)  # fmt: skip
def test_wiki_markup(piece: str) -> None:
    text = piece * (LENGTH // len(piece)) + "x"

    assert seconds(lambda: to_text(text)) < MOST_SECONDS


@pytest.mark.parametrize(
    ("reading", "piece"),
    [
        (holds_credentials, "a"),
        (holds_credentials, "a://"),
        (title_and_rest, " \n"),
        (title_and_rest, "a\n \n"),
        (_NEXT.search, "<>;"),
        (lambda text: _prefixed([text], "category"), " "),
        (filter_problem, '\\"'),
        (is_secret_key, "ᴘ"),
    ],
)
def test_what_is_read_of_a_request_or_an_answer(reading: Callable[[str], object], piece: str) -> None:
    text = piece * (LENGTH // len(piece))

    assert seconds(lambda: reading(text)) < MOST_SECONDS


@pytest.mark.parametrize("reading", [_normal, _compared, composed])
def test_accents_that_are_put_in_order(reading: Callable[[str], object]) -> None:
    text = "e" + "\u0301" * 30_000 + "\u0316" * 30_000  # Each of the second has its place before all of the first.

    assert seconds(lambda: reading(text)) < MOST_SECONDS


def test_what_a_source_says_of_an_error_may_have_the_length_of_an_answer() -> None:
    answer = Answer(500, Headers(), b"", sent=["a password"])

    assert seconds(lambda: answer.in_words("no reason " * 3_000_000)) < MOST_SECONDS


def test_what_is_like_a_long_text_is_explained_by_its_beginning() -> None:
    text = " ".join(f"q{n}" for n in range(1_000_000))

    assert seconds(lambda: spelled([f"q{n}" for n in range(32)], text)) < MOST_SECONDS


@dataclass(frozen=True)
class Kept:
    """A pattern that a module of the product keeps by a name, alone or in a tuple."""

    name: str
    pattern: re.Pattern[Any]
    is_searched: bool
    """Whether it is looked for at every place of a text, and not at its beginning alone."""

    def read(self, text: str) -> object:
        read = self.pattern.search if self.is_searched else self.pattern.fullmatch
        return read(text if isinstance(self.pattern.pattern, str) else text.encode())


def kept_patterns() -> Iterator[Kept]:
    for found in pkgutil.walk_packages(integrations_api.__path__, "integrations_api."):
        if found.name.startswith(NOT_SERVED):
            continue
        module = importlib.import_module(found.name)
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        for name, value in vars(module).items():
            searched = re.search(rf"\b{name}\.(?:search|find|sub|split)", source) is not None
            for pattern in _within(value):
                yield Kept(f"{found.name}.{name}", pattern, searched or isinstance(value, tuple))


def _within(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _within(part)


def pieces_of(pattern: str) -> list[str]:
    """What its text suggests to repeat: each of its literal stretches, all up to each, and each of its signs."""
    runs = [re.sub(r"\\(.)", r"\1", run) for run in _LITERALS.findall(pattern)]
    return [*runs, *("".join(runs[: n + 1]) for n in range(len(runs))), *{sign for run in runs for sign in run}]


def test_every_pattern_of_the_product() -> None:
    found = {kept.pattern.pattern: kept for kept in kept_patterns()}
    slow = []
    for text, kept in found.items():
        for piece in dict.fromkeys([*_ALWAYS, *pieces_of(text if isinstance(text, str) else text.decode())]):
            tried = piece * (SHORTER // len(piece)) + "\0"
            if seconds(partial(kept.read, tried)) >= FEWER_SECONDS:
                slow.append((kept.name, piece))

    assert len(found) > 60
    assert any(kept.is_searched for kept in found.values())
    assert slow == []
