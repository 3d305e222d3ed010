"""What a row shows of the conditions of an administrator's filter, as far as that can be told with certainty."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from integrations_api.connectors.servicenow.query import Condition, conditions_of

Judge = Callable[[str, str], bool]
"""Whether a row with this value and label may be one that a condition asks for."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_FLAGS = {"true": "1", "false": "0"}


def checkable(filter_text: str) -> list[Condition]:
    """The conditions of a filter that a row can be checked against with certainty.

    Equality with a plain word or number: times, alternatives and scripts are left to the source.
    """
    return [c for c in conditions_of(filter_text) if c.operator in {"=", "IN"} and _is_plain(c)]


def _is_plain(condition: Condition) -> bool:
    return not condition.has_alternatives and all(map(_is_plain_word, _words(condition)))


def _words(condition: Condition) -> list[str]:
    return condition.value.split(",") if condition.operator == "IN" else [condition.value]


def _is_plain_word(word: str) -> bool:
    letters = word.replace("_", "").replace("-", "")
    return letters.isalnum() and word == word.strip() and not _DAY.fullmatch(word)


def judge_of(condition: Condition) -> Judge:
    """The judge of one of the `checkable` conditions."""
    return _equal(_words(condition))


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
    letters = unicodedata.normalize("NFKD", text.strip())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).casefold()


def _is_same_number(word: str, value: str) -> bool:
    return bool(_NUMBER.fullmatch(word) and _NUMBER.fullmatch(value)) and float(word) == float(value)
