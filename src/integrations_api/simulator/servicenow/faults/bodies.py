"""Faults of the body: 200, and then something else than the page that was meant."""

import json
from collections.abc import Sequence
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

    def __init__(
        self,
        *,
        shape: str = "error_after_rows",
        at_row: int | None = None,
        on: str = "",
        skip: int = 0,
        times: int | None = -1,
    ) -> None:
        super().__init__(on=on, skip=skip, times=times)
        broken_body(shape, [])
        self.shape = shape
        self.at_row = at_row
        self._rows: dict[int, list[Written]] = {}

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

    def __init__(
        self,
        *,
        most_rows: int = 250,
        shape: str = "error_after_rows",
        at_row: int | None = None,
        on: str = "",
        skip: int = 0,
        times: int | None = -1,
    ) -> None:
        super().__init__(shape=shape, at_row=at_row, on=on, skip=skip, times=times)
        self.most_rows = most_rows

    def is_due(self, call: Call) -> bool:
        return call.limit > self.most_rows and self.strikes(call)


@register
class TooMuchAlone(Fault):
    """Whatever answer has all of a record breaks off, even alone; `sys_ids` are joined by + (none: any record)."""

    name = "too_much_alone"
    default_on: ClassVar[str] = "any"

    def __init__(self, *, sys_ids: str = "", on: str = "", skip: int = 0, times: int | None = -1) -> None:
        super().__init__(on=on, skip=skip, times=times)
        self.sys_ids = [sys_id.encode() for sys_id in sys_ids.split("+")]

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        is_whole = "description" in call.params.get("sysparm_fields", "")
        if is_whole and any(sys_id in answer.body for sys_id in self.sys_ids) and self.strikes(call):
            answer.body = answer.body[:-40]
        return answer


@register
class FewerRows(Fault):
    """Lists of incidents end after `most` rows, whole and well-formed, though more were asked for and are there."""

    name = "fewer_rows"
    default_on: ClassVar[str] = "any"

    def __init__(self, *, most: int = 3, on: str = "", skip: int = 0, times: int | None = -1) -> None:
        super().__init__(on=on, skip=skip, times=times)
        self.most = most

    def select_rows(self, call: Call, rows: list[Row]) -> list[Row]:
        return rows[: self.most] if call.table == "incident" and self.strikes(call) else rows


class RowEdit(Fault):
    """Changes rows on their way out:

    every `every`-th of the table by sys_id, or those named in `sys_ids` (a list, or joined by +).
    """

    def __init__(
        self,
        *,
        every: int = 10,
        sys_ids: list[str] | str = "",
        on: str = "table",
        skip: int = 0,
        times: int | None = -1,
    ) -> None:
        super().__init__(on=on, skip=skip, times=times)
        self.every = every
        named = sys_ids.split("+") if isinstance(sys_ids, str) else sys_ids
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

    def __init__(
        self,
        *,
        field: str = "number",
        how: str = "missing",
        every: int = 10,
        sys_ids: list[str] | str = "",
        on: str = "table",
        skip: int = 0,
        times: int | None = -1,
    ) -> None:
        super().__init__(every=every, sys_ids=sys_ids, on=on, skip=skip, times=times)
        self.field = field
        self.how = how

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
