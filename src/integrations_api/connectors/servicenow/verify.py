"""Every row is checked against the query that asked for it.

ServiceNow drops conditions and orders that it does not understand, or that a query ACL forbids, and answers with
the rest: a wrong set that looks like a right one. A row that breaks the promise ends the run.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.servicenow.answers import QUERY_ACL_REMEDY
from integrations_api.connectors.servicenow.client import Row
from integrations_api.connectors.servicenow.mapping import cell
from integrations_api.connectors.servicenow.query import Condition, Range, conditions_of

_FILTER_REMEDY = (
    "Check the column names of the filter, and that the user may read them; ServiceNow ignores a condition on a "
    "column that it does not know or that a query ACL forbids"
)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_FLAGS = {"true": "1", "false": "0"}


def ignored(column: str) -> Refused:
    """The error for a condition on a column of the sync's own that made no difference."""
    return Refused(f"The source ignored the condition on {column}", QUERY_ACL_REMEDY)


def sys_id_of(row: Row) -> str:
    """The row's id, empty where nothing of it may be seen."""
    raw = row.get("sys_id")
    return raw if type(raw) is str else cell(raw)[0]


class Promise(Struct, frozen=True):
    """What a query promises of its rows: their range, their order, a lower bound of time, and simple conditions."""

    range: Range
    updated_from: str | None
    """The lower bound of `sys_updated_on`, as its value is written; None where there is none."""
    conditions: Sequence[Condition] = ()

    def check(self, rows: Sequence[Row], ids: Sequence[str]) -> None:
        """Raises `Refused` when a row is not what was asked for; `ids` are the rows' own."""
        check_ids(ids, self.range)
        if self.updated_from is not None:
            for row in rows:
                updated = cell(row.get("sys_updated_on"))[0]
                if updated and updated < self.updated_from:
                    raise ignored("sys_updated_on")
        for condition in self.conditions:
            check_condition(rows, condition)


def check_ids(ids: Sequence[str], within: Range) -> None:
    """Ids must lie in their range and ascend, each once. Raises `Refused`."""
    folded = [sys_id.casefold() for sys_id in ids]
    if not _ascends(folded) and not _ascends(ids):  # a few databases tell capitals apart
        raise Refused("The source ignored the order by sys_id", QUERY_ACL_REMEDY)
    if ids and not (_is_within(folded[0], within) and _is_within(folded[-1], within)):
        raise ignored("sys_id")


def _ascends(ids: Sequence[str]) -> bool:
    return all(map(str.__lt__, ids, ids[1:]))


def _is_within(folded: str, within: Range) -> bool:
    low = within.low.casefold()
    above = not low or folded > low or (within.includes_low and folded == low)
    return above and (within.high is None or folded <= within.high.casefold())


def checkable(filter_text: str) -> list[Condition]:
    """The conditions of a filter that a row can be checked against with certainty.

    Equality with a plain word or number: times, alternatives and scripts are left to the source.
    """
    return [c for c in conditions_of(filter_text) if c.operator in {"=", "IN"} and _is_plain(c)]


def _is_plain(condition: Condition) -> bool:
    words = condition.value.split(",") if condition.operator == "IN" else [condition.value]
    return not condition.has_alternatives and all(map(_is_plain_word, words))


def _is_plain_word(word: str) -> bool:
    letters = word.replace("_", "").replace("-", "")
    return letters.isalnum() and word == word.strip() and not _DAY.fullmatch(word)


def check_condition(rows: Sequence[Row], condition: Condition) -> None:
    """Raises `Refused` for a row that shows another value than the filter asks for; a hidden value tells nothing."""
    words = condition.value.split(",")
    wanted = {word.casefold() for word in words}
    column = condition.column
    for row in rows:
        value, label = cell(row.get(column))
        if value and value.casefold() not in wanted and not _is_spelt_otherwise(value, label, words):
            raise Refused(f"The source ignored the filter's condition on {column}", _FILTER_REMEDY)


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


def missing_columns(rows: Sequence[Row], columns: Sequence[str]) -> list[str]:
    """Columns that no row has at all, although they were asked for: unknown to the table, or hidden."""
    return [column for column in columns if rows and not any(column in row for row in rows)]


def no_condition_may_be_ignored(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Raises `Refused` when a column of the filter is not in the rows that were asked for with it."""
    if missing := missing_columns(rows, columns):
        raise Refused(f"The filter names a column that cannot be read: {missing[0]}", _FILTER_REMEDY)
