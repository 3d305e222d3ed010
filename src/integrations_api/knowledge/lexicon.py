"""Search vectors made in this process, of words that PostgreSQL has been asked about once.

PostgreSQL's text parser costs more than anything else that is done to a record, and reads the same words again and
again. It never joins two words over a blank (no markup is left: see `terms.JOINTS`), so what it makes of a text is
what it makes of the words one by one. A text for which that could differ is left to PostgreSQL.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from operator import add
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.knowledge.terms import JOINTS, LONGEST_TEXT, quoted

Words = Mapping[str, Sequence[str]]
"""A document's words by the weight (A to C) of the text that they stand in, in the order of the texts."""

_KNOWN_WORDS = 20_000
_LONGEST_WORD = 100
"""Characters of a word that is worth remembering."""
_PLACES = 255
"""A search vector keeps at most so many places of one word: longer texts are left to PostgreSQL."""

_PLACED = {weight: [f"{place}{weight}" for place in range(_PLACES + 1)] for weight in "ABC"}
"""Every place a word can take, as a tsvector literal spells it, by weight."""

_BLANKS = "\t\n\r\f\v,!?()[]{}|*$^'`\"\\"
"""What always parts words and is never part of one. Other blanks are letters to a database with the locale C."""
_PARTED = str.maketrans(dict.fromkeys(JOINTS + _BLANKS, " "))

_AFTER = "zqzqz"
"""A word that follows the one asked about: its place tells how many places that took, stop words included."""

_ASK = text(f"""
    SELECT asked.word, found.lexeme, found.positions
    FROM unnest(CAST(:words AS text[])) asked(word),
         unnest(to_tsvector('english', ' ' || asked.word || ' {_AFTER}')) found
""")  # nosec B608 # noqa: S608 - put together from constants


class _Reading(NamedTuple):
    """What PostgreSQL makes of a word: how many places it takes, and its lexemes (`'lexeme':`) with theirs, from 0."""

    places: int
    lexemes: list[tuple[str, int]]


_LONE_SIGNS = frozenset("&+;%–•·")
"""Signs that mean the same wherever they stand alone: nothing, mostly."""


class Vector(NamedTuple):
    """A search vector as SQL reads it, and its length in words."""

    literal: str
    words: int


class Lexicon:
    """A cache of a pure function, bounded: it holds the words of the texts seen last."""

    def __init__(self, limit: int = _KNOWN_WORDS) -> None:
        self._limit = limit
        self._simple: dict[str, str] = {}
        """Words that take one place, nearly all: their lexeme (`'lexeme':`), empty for a stop word."""
        self._other: dict[str, _Reading] = {}

    async def learn(self, session: AsyncSession, documents: Sequence[Words]) -> None:
        """Asks for every word that is not known yet, in one statement."""
        wanted = set[str]().union(*(part for words in documents for part in words.values()))
        asked = [word for word in wanted - self._simple.keys() - self._other.keys() if _is_plain(word)]
        if not asked:
            return
        if len(self._simple) + len(self._other) + len(asked) > self._limit:
            # What these texts need is what the next ones will need, most of it.
            self._simple = {word: self._simple[word] for word in wanted & self._simple.keys()}
            self._other = {word: self._other[word] for word in wanted & self._other.keys()}
        found: dict[str, dict[str, list[int]]] = {word: {} for word in asked}
        for word, lexeme, positions in await session.execute(_ASK, {"words": asked}):
            found[word][lexeme] = positions
        for word, lexemes in found.items():
            self._remember(word, _read(lexemes))

    def _remember(self, word: str, reading: _Reading) -> None:
        match reading:
            case (1, []):
                self._simple[word] = ""
            case (1, [(lexeme, 0)]):
                self._simple[word] = lexeme
            case _:
                self._other[word] = reading

    def vector(self, document: Words) -> Vector | None:
        """The search vector of a document whose words were learned; None where PostgreSQL must make it."""
        made: list[str] = []
        last = 0
        for weight, words in document.items():
            # The places of one text begin after the last lexeme of the one before, as `||` has it.
            spelled = self._spelled(words, last + 1, weight)
            if spelled is None:
                return None
            made += spelled[0]
            last = spelled[1]
        return Vector(" ".join(made), len(made)) if last <= _PLACES else None

    def _spelled(self, words: Sequence[str], first: int, weight: str) -> tuple[list[str], int] | None:
        """A text's lexemes with place and weight, and the place of the last one (before `first` where there is none).

        None where a word is not known, or there are too many.
        """
        simple = list(map(self._simple.get, words))
        if None in simple:
            return self._spelled_one_by_one(words, first, weight)
        while simple and not simple[-1]:
            simple.pop()
        last = first + len(simple) - 1
        if last > _PLACES:
            return None
        # Stop words (empty) take a place and are not spelled. No loop of ours: this is done to every word of a sync.
        return list(compress(map(add, simple, _PLACED[weight][first:]), simple)), last

    def _spelled_one_by_one(self, words: Sequence[str], first: int, weight: str) -> tuple[list[str], int] | None:
        made: list[str] = []
        at, last = first, first - 1
        for word in words:
            if (reading := self._reading(word)) is None:
                return None
            for lexeme, offset in reading.lexemes:
                last = at + offset
                made.append(f"{lexeme}{last}{weight}")
            at += reading.places
        return made, last

    def _reading(self, word: str) -> _Reading | None:
        if (lexeme := self._simple.get(word)) is None:
            return self._other.get(word)
        return _Reading(1, [(lexeme, 0)] if lexeme else [])


def words_of(text: str) -> list[str]:
    """What stands between blanks in the text that PostgreSQL is given: see `terms.vector_sql`."""
    parted = text[:LONGEST_TEXT].translate(_PARTED)
    return parted.split() if parted.isascii() else [word for word in parted.split(" ") if word]


def _is_plain(word: str) -> bool:
    """Whether a word means the same wherever it stands: a sign before it (`+5`, `~tmp`, `&amp;`) can make a difference.

    Long words are not worth remembering.
    """
    begun = word.lstrip()[:1]
    return (not begun or begun.isalnum() or word in _LONE_SIGNS) and len(word) <= _LONGEST_WORD


def _read(lexemes: dict[str, list[int]]) -> _Reading:
    places = lexemes[_AFTER].pop() - 1
    found = [(f"{quoted(lexeme)}:", position - 1) for lexeme, at in lexemes.items() for position in at]
    return _Reading(places, sorted(found, key=lambda pair: pair[1]))
