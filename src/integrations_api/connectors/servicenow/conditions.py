"""What a row shows of the conditions of an administrator's filter, as far as that can be told with certainty."""

import operator
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from integrations_api.connectors.servicenow.mapping import FIELDS
from integrations_api.connectors.servicenow.query import Clause, Condition, clauses_of

Judge = Callable[[str, str], bool]
"""Whether a row with this value and label may be one that a condition asks for."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)
_FLAGS = {"true": "1", "false": "0"}
_LIKE_EMPTY = ("0", "false")
"""What an empty number or flag may be shown as."""
_PIECE = 100
"""Characters of a text that are taken apart at once."""


def checkable(filter_text: str) -> list[Clause]:
    """The clauses of a filter that a row can be checked against with certainty.

    Plain words and numbers: times and scripts are left to the source. In the usual columns, whose types are known; an
    equality that stands alone in any column.
    """
    return [clause for clause in clauses_of(filter_text) if all(_is_checkable(each, clause) for each in clause)]


def _is_checkable(condition: Condition, clause: Clause) -> bool:
    is_lone_equality = len(clause) == 1 and condition.operator in _EQUALITY
    if not is_lone_equality and condition.column not in FIELDS:
        return False
    if condition.operator == "ISEMPTY":
        return not condition.value
    may_be_meant = _PLAIN.get(condition.operator)
    return may_be_meant is not None and all(map(may_be_meant, _words(condition)))


def _words(condition: Condition) -> list[str]:
    return condition.value.split(",") if condition.operator in {"IN", "NOT IN"} else [condition.value]


def _is_plain_word(word: str) -> bool:
    letters = word.replace("_", "").replace("-", "")
    return letters.isalnum() and word == word.strip() and not _DAY.fullmatch(word)


def _is_whole_number(text: str) -> bool:
    return _WHOLE.fullmatch(text) is not None


_EQUALITY = frozenset({"=", "IN"})
_RANKS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PARTS: dict[str, Callable[[str, str], bool]] = {
    "LIKE": operator.contains,
    "CONTAINS": operator.contains,
    "STARTSWITH": str.startswith,
    "ENDSWITH": str.endswith,
}
_PLAIN: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys((*_EQUALITY, "!=", "NOT IN"), _is_plain_word),
    **dict.fromkeys(_RANKS, _is_whole_number),
    **dict.fromkeys(_PARTS, str.isalnum),  # an underscore may stand for any letter
}
"""Operators, and which values of theirs leave no doubt about what is meant."""


def judge_of(condition: Condition) -> Judge:
    """The judge of a condition in one of the `checkable` clauses."""
    words = _words(condition)
    match condition.operator:
        case "ISEMPTY":
            return lambda value, label: value in _LIKE_EMPTY
        case "!=" | "NOT IN":
            return lambda value, label: value not in words
        case rank if rank in _RANKS:
            return _ranked(_RANKS[rank], words[0])
        case part if part in _PARTS:
            return _partly(_PARTS[part], words[0])
        case _:
            return _equal(words)


def _ranked(compare: Callable[[Any, Any], bool], word: str) -> Judge:
    """A column of numbers, or of texts that are numbers."""
    return lambda value, label: not _is_whole_number(value) or compare(int(value), int(word)) or compare(value, word)


def _partly(test: Callable[[str, str], bool], word: str) -> Judge:
    """The value, or the label of a reference; accents and spaces at the ends make no difference."""
    quick, slow = word.casefold(), _compared(word)
    return lambda value, label: (
        test(value.casefold(), quick) or test(_compared(value), slow) or test(_compared(label), slow)
    )


def _equal(words: Sequence[str]) -> Judge:
    wanted = {word.casefold() for word in words}
    return lambda value, label: value.casefold() in wanted or _is_spelt_otherwise(value, label, words)


def _is_spelt_otherwise(value: str, label: str, words: Sequence[str]) -> bool:
    """Whether a filter may mean this value by one of its words and write it in another way.

    A flag as 1 or 0, a reference or choice by its label, a number without its zeros; and the source's database
    compares texts without regard to accents and to spaces at their ends.
    """
    spellings = {_compared(value), _compared(label), _FLAGS.get(value, "")}
    return any(_compared(word) in spellings or _is_same_number(word, value) for word in words)


def _compared(text: str) -> str:
    # Piece by piece: accents are put in order in a time that grows with their square, and none of them is kept.
    plain = text.strip()
    pieces = (plain[at : at + _PIECE] for at in range(0, len(plain), _PIECE))
    letters = "".join(unicodedata.normalize("NFKD", piece) for piece in pieces)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _is_same_number(word: str, value: str) -> bool:
    return bool(_NUMBER.fullmatch(word) and _NUMBER.fullmatch(value)) and float(word) == float(value)
