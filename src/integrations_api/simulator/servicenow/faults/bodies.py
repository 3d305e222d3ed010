"""Faults of the body: 200, and then something else than the page that was meant."""

import json
from collections.abc import Sequence
from dataclasses import field
from typing import ClassVar

from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Call
from integrations_api.simulator.servicenow.rows_cache import Written
from integrations_api.simulator.servicenow.table import Row

from .base import Fault
from .registry import register

CANCELLED = (
    '"error":{"detail":"No such column Check logs for error trace or enable glide.rest.debug property to verify REST '
    'request processing","message":"Transaction cancelled: maximum execution time exceeded"},"status":"failure"}'
)
SHAPES = (
    "error_after_rows",
    "text_row",
    "empty_text_row",
    "garbage_tail",
    "trailing_comma",
    "result_is_text",
    "error_only",
)
"""The bodies that were seen with status 200 when the quota rule cancelled a transaction."""


def broken_body(shape: str, rows: Sequence[Written]) -> bytes:
    """A body of status 200 that breaks after these rows. Raises ValueError for an unknown shape."""
    listed = b",".join(rows)
    comma = b"," if rows else b""
    match shape:
        case "error_after_rows":
            return b'{"result":[' + listed + b"]," + CANCELLED.encode()
        case "text_row":
            return (
                b'{"result":['
                + listed
                + comma
                + b'"Transaction cancelled: maximum execution time exceeded"],'
                + CANCELLED.encode()
            )
        case "empty_text_row":
            return b'{"result":[' + listed + comma + b'""],' + CANCELLED.encode()
        case "garbage_tail":
            return b'{"result":[' + listed + b'""\n]'
        case "trailing_comma":
            return b'{"result":[' + listed + b",]}"
        case "result_is_text":
            return b'{"result":"Transaction cancelled: maximum execution time exceeded"}'
        case "error_only":
            return b"{" + CANCELLED.encode()
        case _:
            raise ValueError(f"There is no broken shape {shape!r}. Known: {', '.join(SHAPES)}")


@register
class Broken200(Fault):
    """One of the broken bodies (`shape`), after `at_row` rows (None: after the last)."""

    name = "broken_200"
    default_times: ClassVar[int | None] = 1
    shape: str = "error_after_rows"
    at_row: int | None = None
    _rows: dict[int, list[Written]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        broken_body(self.shape, [])  # Raises for a shape that there is not.

    def edit_rows(self, call: Call, rows: list[Row], written: list[Written]) -> list[Written]:
        if self.is_due(call):
            self._rows[call.number] = written[: self.at_row]
        return written

    def is_due(self, call: Call) -> bool:
        return self.strikes(call)

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        rows = self._rows.pop(call.number, None)
        if rows is not None:
            answer.body = broken_body(self.shape, rows)
        return answer


@register
class QuotaTimeout(Broken200):
    """The transaction is cancelled, in one of the broken shapes, whenever more than `most_rows` rows are asked for at
    once."""

    name = "quota_timeout"
    default_times: ClassVar[int | None] = None
    most_rows: int = 250

    def is_due(self, call: Call) -> bool:
        return call.limit > self.most_rows and self.strikes(call)


@register
class TooMuchAlone(Fault):
    """Whatever answer has all of a record breaks off, even alone; `sys_ids` are joined by + (none: any record)."""

    name = "too_much_alone"
    default_on: ClassVar[str] = "any"
    sys_ids: str = ""

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        is_whole = "description" in call.params.get("sysparm_fields", "")
        named = self.sys_ids.encode().split(b"+")
        if is_whole and any(sys_id in answer.body for sys_id in named) and self.strikes(call):
            answer.body = answer.body[:-40]
        return answer


@register
class FewerRows(Fault):
    """Lists of incidents end after `most` rows, whole and well-formed, though more were asked for and are there."""

    name = "fewer_rows"
    default_on: ClassVar[str] = "any"
    most: int = 3

    def select_rows(self, call: Call, rows: list[Row]) -> list[Row]:
        return rows[: self.most] if call.table == "incident" and self.strikes(call) else rows


class RowEdit(Fault):
    """Changes rows on their way out:

    every `every`-th of the table by sys_id, or those named in `sys_ids` (a list, or joined by +).
    """

    default_on: ClassVar[str] = "table"
    every: int = 10
    sys_ids: list[str] | str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        named = self.sys_ids.split("+") if isinstance(self.sys_ids, str) else self.sys_ids
        self.keys = {sys_id.casefold() for sys_id in named if sys_id}

    def attach(self, instance: ServiceNowInstance) -> None:
        """Without names, chooses the rows once: the same ones are odd in every answer."""
        if not self.keys:
            self.keys = set(instance.incidents.order[:: self.every])

    def edit_rows(self, call: Call, rows: list[Row], written: list[Written]) -> list[Written]:
        if call.table != "incident" or len(rows) != len(written) or not self.strikes(call):
            return written
        return [
            self.edited(row, bytes(text), position) if row.key in self.keys else text
            for position, (row, text) in enumerate(zip(rows, written, strict=True))
        ]

    def edited(self, row: Row, text: bytes, position: int) -> bytes:
        # The standard library's parser takes lone surrogates, which other faults put there.
        document = json.loads(text)
        self.edit(document, row, position)
        return json.dumps(document).encode()

    def edit(self, document: dict[str, object], row: Row, position: int) -> None:
        """Changes the row's JSON in place."""


@register
class OddFields(RowEdit):
    """Fields that come as null, not at all, or as a number, a list, an object or a boolean."""

    name = "odd_fields"
    ODD: ClassVar[tuple[object, ...]] = (None, 17, ["x"], {"surprise": 1}, True, 2.5)
    SPARED: ClassVar[frozenset[str]] = frozenset({"sys_id", "number", "sys_updated_on", "sys_created_on"})

    def edit(self, document: dict[str, object], row: Row, position: int) -> None:
        """Depends on the row alone, so that it comes alike in every answer."""
        names = [name for name in sorted(document) if name not in self.SPARED]
        start = int(row.key[:4], 16) if row.key[:4].isalnum() and row.key[:4].isascii() else 0
        for step, name in enumerate(names[start % 3 :: 3]):
            if (start + step) % 7 == 6:
                del document[name]
            else:
                document[name] = self.ODD[(start + step) % 7]


@register
class Unmappable(RowEdit):
    """Records without `field` (sys_id, number, …): missing, null or empty, as `how` says."""

    name = "unmappable"
    field: str = "number"
    how: str = "missing"

    def edit(self, document: dict[str, object], row: Row, position: int) -> None:
        if self.field not in document:
            return
        if self.how == "missing":
            del document[self.field]
        elif self.how == "null":
            document[self.field] = None
        else:
            is_pair = isinstance(document[self.field], dict)
            document[self.field] = {"display_value": "", "value": ""} if is_pair else ""
