"""Search vectors made in this process, of words that PostgreSQL has been asked about once.

PostgreSQL's text parser costs more than anything else that is done to a record, and reads the same words again and
again. It never joins two words over a blank (no markup is left: see `terms.JOINTS`), so what it makes of a text is
what it makes of the words one by one. A text for which that could differ is left to PostgreSQL.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.knowledge.terms import JOINTS, LONGEST_TEXT

Words = Mapping[str, Sequence[str]]
"""A document's words by the weight (A to C) of the text that they stand in, in the order of the texts."""

_KNOWN_WORDS = 20_000
_LONGEST_WORD = 100
"""Characters of a word that is worth remembering."""
_PLACES = 255
"""A search vector keeps at most so many places of one word: longer texts are left to PostgreSQL."""

_BLANKS = "\t\n\r\f\v,!?()[]{}|*$^'`\"\\"
"""What always parts words and is never part of one."""
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


_LONE_SIGNS = dict.fromkeys("&+;%–•·", _Reading(0, []))
"""Words that mean nothing when they stand alone."""


class Vector(NamedTuple):
    """A search vector as SQL reads it, and its length in words."""

    literal: str
    words: int


class Lexicon:
    """A cache of a pure function, bounded: it holds the words of the texts seen last."""

    def __init__(self, limit: int = _KNOWN_WORDS) -> None:
        self._limit = limit
        self._known = dict(_LONE_SIGNS)

    async def learn(self, session: AsyncSession, documents: Sequence[Words]) -> None:
        """Asks for every word that is not known yet, in one statement."""
        wanted = {word for words in documents for part in words.values() for word in part}
        asked = [word for word in wanted - self._known.keys() if _is_plain(word)]
        if not asked:
            return
        if len(self._known) + len(asked) > self._limit:
            # What these texts need is what the next ones will need, most of it.
            self._known = _LONE_SIGNS | {word: self._known[word] for word in wanted & self._known.keys()}
        found: dict[str, dict[str, list[int]]] = {word: {} for word in asked}
        for word, lexeme, positions in await session.execute(_ASK, {"words": asked}):
            found[word][lexeme] = positions
        self._known |= {word: _read(lexemes) for word, lexemes in found.items()}

    def vector(self, document: Words) -> Vector | None:
        """The search vector of a document whose words were learned; None where PostgreSQL must make it."""
        known = self._known
        made: list[str] = []
        last = 0
        for weight, words in document.items():
            # The places of one text begin after the last lexeme of the one before, as `||` has it.
            at = last + 1
            for word in words:
                if (reading := known.get(word)) is None:
                    return None
                for lexeme, offset in reading.lexemes:
                    last = at + offset
                    made.append(f"{lexeme}{last}{weight}")
                at += reading.places
        return Vector(" ".join(made), len(made)) if last <= _PLACES else None


def words_of(text: str) -> list[str]:
    """What stands between blanks in the text that PostgreSQL is given: see `terms.vector_sql`."""
    return text[:LONGEST_TEXT].translate(_PARTED).split()


def _is_plain(word: str) -> bool:
    """Whether a word means the same wherever it stands: a sign before it (`+5`, `~tmp`, `&amp;`) can make a difference.

    Long words are not worth remembering.
    """
    return word[0].isalnum() and len(word) <= _LONGEST_WORD


def _read(lexemes: dict[str, list[int]]) -> _Reading:
    places = lexemes[_AFTER].pop() - 1
    found = [(f"{_quoted(lexeme)}:", position - 1) for lexeme, at in lexemes.items() for position in at]
    return _Reading(places, sorted(found, key=lambda pair: pair[1]))


def _quoted(lexeme: str) -> str:
    """A lexeme as a tsvector literal spells it."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"
