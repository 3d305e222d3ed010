"""A query as it was typed, read: pure functions over its text."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

from msgspec import Struct

from integrations_api.knowledge.terms import JOINTS, LONGEST_TEXT, composed, quoted

_JOINED = re.compile(rf"(?<=\w)[{re.escape(JOINTS)}]+(?=\w)")
_MEANINGLESS = re.compile(r'-{2,}|-(?![\w"])')
"""Dashes that exclude no word: a line of them, or one that stands alone. PostgreSQL takes each for an exclusion, and
gives up at more than 32 in a row."""
_PHRASE_OR_EXCLUDED = re.compile(r'"[^"]*"?|(?<!\S)-([^\s"]+)')
_OPERATORS = re.compile(r'"|(?:^|\s)-\S|\bor\b', re.IGNORECASE)
_LAST_WORD = re.compile(r"(?:^|[\s./:=@])(\w+)$")
_QUOTED = re.compile(r"'((?:[^'\\]|''|\\\\)*)'")
_EXCLUDED_OR_NOT = re.compile("(!?)" + _QUOTED.pattern)
_WORD = re.compile(r"\w+")
_TITLE = re.compile(r"\s*+([^\n]{1,300})\n\s*+\S")
SHORTEST_PREFIX = 3
"""Characters of a last word from which on it also stands for longer words."""
_AROUND_NUMBERS = "\"'.,:;!?()[]{}<>*`\u201c\u201d\u201e\u00ab\u00bb"
"""What may stand at a number in a sentence, and is no part of it."""
_TAKEN_APART = re.compile(r"\W*([^\W\d_]+)[\s-]+(\d+)\W*")
_LONGEST_NUMBER = 255
_MOST_NUMBERS = 5
_LONGEST_ENDING = 5


class Query(Struct, frozen=True):
    """What somebody looks for.

    `text` is for PostgreSQL's `websearch_to_tsquery`, names and paths taken apart; `has_operators` says that the
    user wrote phrases, exclusions or alternatives; `prefix` is the last word if longer words are welcome, too;
    `numbers` are what might be an incident's number in it.
    """

    text: str
    has_operators: bool
    prefix: str | None
    numbers: tuple[str, ...]

    @property
    def is_literal(self) -> bool:
        """Whether what only means the same is not wanted: phrases, exclusions, alternatives, or a number alone."""
        return self.has_operators or (bool(self.numbers) and len(self.text.split()) == 1)


def read_query(typed: str) -> Query:
    """The query that was typed; whatever it is, it can be read."""
    typed = composed(typed)
    whole = _MEANINGLESS.sub(" ", typed).strip()
    text = _JOINED.sub(" ", _PHRASE_OR_EXCLUDED.sub(_held_together, whole))
    return Query(text, _OPERATORS.search(whole) is not None, _prefix(text, whole), tuple(_numbers(typed.strip())))


def _held_together(found: re.Match[str]) -> str:
    """An excluded name is excluded as a phrase: its parts alone would be one that is excluded, and others wanted."""
    return f'-"{found[1]}"' if found[1] and _JOINED.search(found[1]) else found[0]


def _prefix(text: str, typed: str) -> str | None:
    """The last word, unless it is excluded, quoted, or too short to tell anything."""
    found = _LAST_WORD.search(text)
    if found is None or typed.count('"') % 2 or re.search(r"(?:^|\s)-\S*$", typed):
        return None
    word = found[1].lower()
    return word if len(word) >= SHORTEST_PREFIX else None


def _numbers(typed: str) -> Iterable[str]:
    """Spellings of what may be a number: words with a digit in them, and the whole if there is one; `inc 12` is one."""
    plain = unicodedata.normalize("NFKC", typed)  # Some keyboards write letters and digits in full width.
    words = [word.strip(_AROUND_NUMBERS) for word in plain.split() if any(c.isdigit() for c in word)][:_MOST_NUMBERS]
    words = [typed, *words] if words else []
    if apart := _TAKEN_APART.fullmatch(plain):
        words += [apart[1] + apart[2], f"{apart[1]}-{apart[2]}"]
    spellings = (spelling for word in words for spelling in (word, word.upper(), word.lower()))
    return dict.fromkeys(spelling for spelling in spellings if 0 < len(spelling) <= _LONGEST_NUMBER)


def lexemes(querytree: str) -> list[str]:
    """The lexemes of what PostgreSQL's `querytree` says of a query: those that a hit must or may have."""
    found = (match.replace("''", "'").replace("\\\\", "\\") for match in _QUOTED.findall(querytree))
    return list(dict.fromkeys(found))


def expected_share(query: str, counts: Mapping[str, int], documents: int) -> float:
    """Which share of so many documents a tsquery matches, if its words come independently of each other.

    0 for phrases and groups: of those no more can be said.
    """
    if documents <= 0 or any(sign in query for sign in "<("):
        return 0.0
    return max(_share(part, counts, documents) for part in query.split(" | "))


def _share(part: str, counts: Mapping[str, int], documents: int) -> float:
    words = [(excluded, lexeme.replace("''", "'")) for excluded, lexeme in _EXCLUDED_OR_NOT.findall(part)]
    if all(excluded for excluded, _ in words):
        return 0.0
    shares = [(excluded, min(1.0, counts.get(word, 0) / documents)) for excluded, word in words]
    return prod(1 - share if excluded else share for excluded, share in shares)


def either(lexemes: Iterable[str]) -> str:
    """The tsquery (as text) for documents that have any of the lexemes."""
    return " | ".join(quoted(lexeme) for lexeme in lexemes)


def widened(query: str, lexeme: str, others: Iterable[str]) -> str:
    """The tsquery (as text) in which a lexeme may also be one of others."""
    any_of_them = f"( {either([lexeme, *others])} )"
    return _QUOTED.sub(lambda found: any_of_them if found[0] == quoted(lexeme) else found[0], query)


def title_and_rest(text: str) -> tuple[str, str]:
    """The text of a new incident in two: a short first line with more below it is a title."""
    found = _TITLE.match(text)
    return (found[1], text[found.end(1) :]) if found else ("", text)


def spelled(stems: Iterable[str], text: str) -> dict[str, str]:
    """For each stem the shortest word of the text that looks like a form of it, for people to read.

    Of a long text as much is looked at as is searched for.
    """
    words = sorted(set(_WORD.findall(text[:LONGEST_TEXT].lower())))
    return {stem: min(_forms(words, stem), key=lambda word: (len(word), word), default=stem) for stem in stems}


def _forms(words: Sequence[str], stem: str) -> Iterator[str]:
    """Those of the sorted words that look like forms of a stem."""
    # Stemming turns a last y into i: "happi" is of "happy".
    root = stem[:-1] if stem.endswith("i") and len(stem) > SHORTEST_PREFIX else stem
    for word in words[bisect_left(words, root) :]:
        if not word.startswith(root):
            return
        if len(word) - len(stem) <= _LONGEST_ENDING:
            yield word
