"""The preflight: what a sync will need, tried once, with what was seen and what an administrator can do."""

from collections.abc import AsyncGenerator, Sequence

from msgspec import Struct

from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.preflight import Step, clock_check, collected, in_words, safely
from integrations_api.connectors.records import Check
from integrations_api.connectors.servicenow import gone, mapping
from integrations_api.connectors.servicenow.answers import QueryRefused, SignInRefused, TableRefused
from integrations_api.connectors.servicenow.client import Rows
from integrations_api.connectors.servicenow.lanes import Source, without_strays
from integrations_api.connectors.servicenow.mapping import cell
from integrations_api.connectors.servicenow.measure import Moment, measure, time_literal
from integrations_api.connectors.servicenow.query import ORDER, Range, conditions_of, joined
from integrations_api.connectors.servicenow.verify import Promise, missing_columns, sys_id_of

_SAMPLE = 200
_NEEDED = ("number", "short_description", "sys_created_on", "sys_updated_on")
_WISHED = ("description", "close_notes", "comments", "work_notes", "state", "priority", "assignment_group", "opened_at")
_READ_ALL = "Give the user a role that may read every record and field of the table, such as sn_incident_read"


class Preflight(Struct):
    """Runs the checks one after the other; the first three decide whether the others make sense."""

    source: Source
    concurrency: int
    who: str
    sample: Rows | None = None
    moment: Moment | None = None
    seconds: float = 0.0

    async def run(self) -> list[Check]:
        """Every check that could be made. Never raises for a failing one, and is bounded in time."""
        return await collected(self._checks())

    async def _checks(self) -> AsyncGenerator[Check, None]:
        for made in await self._contact():
            yield made
        if self.sample is not None:
            for name, step in self._steps():
                yield await safely(name, step)

    def _steps(self) -> Sequence[tuple[str, Step]]:
        return (
            ("fields", self._fields),
            ("filter and order", self._filter_and_order),
            ("time literal", self._time_literal),
            ("clock", self._clock),
            ("visible records", self._visible),
            ("journals", self._journals),
            ("delete log", self._delete_log),
            ("rate limit", self._rate_limit),
            ("duration", self._duration),
        )

    async def _contact(self) -> list[Check]:
        """One page of real records: shows whether the source is there, who we are to it, and the table."""
        client, source = self.source.client, self.source
        began = client.patience.time.monotonic()
        try:
            self.sample = await client.ask(
                source.table,
                joined(source.filter, ORDER),
                fields=source.fields,
                limit=_SAMPLE,
                labels=True,
                count=True,
                shrinks=True,
            )
        except ConnectorError as error:
            return self._no_contact(error)
        self.seconds = client.patience.time.monotonic() - began
        total = "an unknown number of" if self.sample.total is None else str(self.sample.total)
        return [
            Check("reachable", "ok", f"Answered in {self.seconds * 1000:.0f} ms"),
            Check("signed in", "ok", f"Signed in {self.who}"),
            Check("table", "ok", f"The table {source.table} can be read: {total} records by the filter"),
        ]

    def _no_contact(self, error: ConnectorError) -> list[Check]:
        remedy = error.remedy or "Try again later"
        reachable = Check("reachable", "ok", "The server answers")
        if isinstance(error, SignInRefused):
            return [reachable, Check("signed in", "failed", error.message, remedy)]
        if isinstance(error, TableRefused | QueryRefused):
            signed_in = Check("signed in", "ok", f"Signed in {self.who}")
            name = "table" if isinstance(error, TableRefused) else "filter and order"
            return [reachable, signed_in, Check(name, "failed", error.message, remedy)]
        return [Check("reachable", "failed", error.message, remedy)]

    @property
    def _rows(self) -> list[dict[str, object]]:
        return [row for row in self.sample.rows if row] if self.sample is not None else []

    async def _fields(self) -> Check:
        rows = self._rows
        if not rows:
            return Check(
                "fields", "warning", "There is no record to look at", "Check the filter, and what the user may read"
            )
        missing = missing_columns(rows, self.source.fields)
        empty = [name for name in _NEEDED if name not in missing and not any(cell(row.get(name))[0] for row in rows)]
        if needed := [name for name in (*missing, *empty) if name in _NEEDED]:
            return Check("fields", "failed", f"Not visible: {', '.join(needed)}", _READ_ALL)
        wished = [name for name in missing if name in _WISHED or name not in mapping.FIELDS]
        if wished:
            return Check("fields", "warning", f"Not visible, or not in this table: {', '.join(wished)}", _READ_ALL)
        without = f"; without {', '.join(missing)}" if missing else ""
        return Check("fields", "ok", f"{len(self.source.fields) - len(missing)} fields can be seen{without}")

    async def _filter_and_order(self) -> Check:
        """Raises `Refused` where a condition or the order is ignored: the words are those of a sync."""
        source, client = self.source, self.source.client
        self.moment = await measure(client, source.table, source.filter, conditions_of(source.filter))
        ids = [sys_id for row in self._rows if (sys_id := sys_id_of(row))]
        promise = Promise(Range(), None, source.checks)
        promise.check(self._rows, ids)
        await without_strays(client, source.table, source.filter, promise, self._rows)
        if len(ids) > 1:
            half = Range(ids[len(ids) // 2 - 1], False, ids[-1])
            query = joined(source.filter, half.condition(), ORDER)
            answer = await client.ask(source.table, query, fields=["sys_id"], limit=_SAMPLE, shrinks=True)
            Promise(half, None).check([], [sys_id for row in answer.rows if (sys_id := sys_id_of(row))])
        return Check("filter and order", "ok", "Filter, ranges and order are honoured")

    async def _time_literal(self) -> Check:
        moment = self.moment
        if moment is None or not moment.rows:
            return Check(
                "time literal", "warning", "There is no record to try it on", "Run the test again with records"
            )
        literal = await time_literal(self.source.client, self.source.table, moment.rows)
        if literal is None:
            return Check(
                "time literal",
                "warning",
                "What a time in a query means could not be proved: every sync reads everything",
                "Give the user the time zone UTC, and a role that passes the query ACLs of sys_updated_on",
            )
        if literal.shift:
            hours = literal.shift.total_seconds() / 3600
            seen = f"Times in queries are read in the user's zone ({hours:+g} h), which is taken into account"
            return Check("time literal", "ok", seen)
        return Check("time literal", "ok", "Times in queries are read as UTC")

    async def _clock(self) -> Check:
        date = self.sample.date if self.sample else None
        return clock_check(date, self.source.client.patience.time.now(), noun="records")

    async def _visible(self) -> Check:
        client, source = self.source.client, self.source
        rows = await client.ask(
            source.table,
            joined(source.filter, ORDER),
            fields=["sys_id"],
            limit=source.page_size,
            count=True,
            shrinks=True,
        )
        seen = sum(1 for row in rows.rows if sys_id_of(row))
        expected = seen if rows.total is None else min(rows.total, rows.limit)
        is_part = rows.total is not None and rows.total > expected
        asked = f"the first {expected} of {rows.total} records" if is_part else f"{expected} records"
        if seen < expected:
            text = f"Of {asked}, {expected - seen} are hidden from the user"
            return Check("visible records", "warning", text, _READ_ALL)
        return Check("visible records", "ok", f"All of {asked} can be seen")

    async def _journals(self) -> Check:
        rows = self._rows
        if any(cell(row.get(column))[1] for row in rows for column in mapping.JOURNALS):
            return Check("journals", "ok", "Comments and work notes can be read")
        return Check(
            "journals",
            "warning",
            f"No comment or work note in {len(rows)} records",
            "If there are any, give the user a role that may read comments and work_notes",
        )

    async def _delete_log(self) -> Check:
        client = self.source.client
        classes = await gone.classes_of(client, self.source.table, self.moment.rows if self.moment else ())
        if await gone.deleted_since(client, classes, client.patience.time.now()) is None:
            return Check(
                "delete log",
                "warning",
                "The delete log cannot be read: deletes are noticed by full syncs only",
                f"Give the user a role that may read {gone.DELETE_LOG}",
            )
        return Check("delete log", "ok", "Deleted records can be told by the delete log")

    async def _rate_limit(self) -> Check:
        limit = self.source.client.rate_limit
        if limit is None:
            return Check("rate limit", "ok", "No rate limit rule is announced")
        return Check("rate limit", "ok", f"{limit} requests per hour")

    async def _duration(self) -> Check:
        total, limit = self.sample.total if self.sample else None, self.source.client.rate_limit
        if total is None:
            return Check("duration", "ok", "A full sync takes an unknown time")
        requests = -(-total // self.source.page_size) + self.concurrency
        seconds = self.seconds * total / max(1, len(self._rows)) / self.concurrency
        seen = f"A full sync takes about {requests} requests and {in_words(seconds)}"
        if limit is not None and requests > limit:
            return Check(
                "duration", "warning", f"{seen}, more than the rate limit allows in an hour", "Raise the limit"
            )
        return Check("duration", "ok", seen)
