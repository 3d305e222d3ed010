"""Reading one range of sys_id to its proved end, with pages that shrink where they are too much for the source."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from integrations_api.connectors.errors import ConnectorError, PageTooLarge, Refused, Retryable
from integrations_api.connectors.http import one_line
from integrations_api.connectors.page_size import PageSize
from integrations_api.connectors.records import JsonObject, Page, SourceRecord
from integrations_api.connectors.servicenow.client import Row, ServiceNowClient
from integrations_api.connectors.servicenow.mapping import TOO_LARGE, read_record
from integrations_api.connectors.servicenow.query import ORDER, Clause, Range, joined, quoted
from integrations_api.connectors.servicenow.verify import Promise, check_ids, ignored, ignored_in_filter, sys_id_of

_BARE_STEPS = 50
"""So many steps through rows that are hidden are told of by a page without records: the run gets on."""
_ASKED_AGAIN = 100
"""Rows at most whose filter is tried once more: where it is ignored, it is for each of them."""
_BARE = ("sys_id", "number", "sys_created_on", "sys_updated_on")
_LEAVE_OUT = (
    "{}, though it was asked for alone: raise what ends it (the REST transaction quota of the instance, "
    "EGRESS_TIMEOUT, EGRESS_MAX_RESPONSE_BYTES) and sync in full, or leave the record out by the filter (sys_id!={})"
)


class Source(Struct, frozen=True):
    """What is read: the table with the administrator's filter, and the columns."""

    client: ServiceNowClient
    table: str
    filter: str
    fields: Sequence[str]
    checks: Sequence[Clause]
    page_size: int


class Since(Struct, frozen=True):
    """The lower bound of an incremental fetch: as the query says it, and as rows are checked against it (UTC)."""

    literal: str
    floor: str


class Cursor(Struct, frozen=True):
    """Where a lane goes on: what is left of it (the first range is being read), and its lower bound of time."""

    ranges: tuple[Range, ...]
    since: Since | None

    def as_json(self) -> JsonObject | None:
        """None once nothing is left."""
        if not self.ranges:
            return None
        since = [self.since.literal, self.since.floor] if self.since else None
        return {"ranges": [part.as_json() for part in self.ranges], "since": since}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cursor":
        """Reads what `as_json` wrote."""
        since = value["since"]
        return cls(tuple(map(Range.from_json, value["ranges"])), Since(*since) if since else None)


class LaneReader:
    """Reads one lane. Pages come with the cursor that follows them; the last one's is None."""

    def __init__(self, *, source: Source, lane: str, cursor: Cursor) -> None:
        self._source = source
        self._client = source.client
        self._lane = lane
        self._since = cursor.since
        self._ranges = list(cursor.ranges)
        self._size = PageSize(source.page_size)

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Every page that has records; one without where the lane ends with none, and now and then in between."""
        bare, told = 0, list(self._ranges)
        while self._ranges:
            records = await self._step(self._ranges[0])
            bare = 0 if records else bare + 1
            is_further = bare % _BARE_STEPS == 0 and self._ranges != told
            if records or not self._ranges or is_further:
                told = list(self._ranges)
                yield Page(records, self._lane, Cursor(tuple(self._ranges), self._since).as_json())
            del records  # They are not kept here while the next page is read.

    async def _step(self, current: Range) -> list[SourceRecord]:
        """Reads one page and moves on: to what is after it, or past the range."""
        rows, limit = await self._read(current)
        seen = [row for row in rows if sys_id_of(row)]
        ids = [sys_id_of(row) for row in seen]
        promise = Promise(current, self._since.floor if self._since else None, self._source.checks)
        promise.check(seen, ids)
        kept = await without_strays(self._client, self._source.table, self._source.filter, promise, seen)
        records = [read_record(row) for row in kept]
        if len(rows) >= limit and seen:
            self._ranges[0] = current.after(ids[-1])
        else:
            await self._end(current, ids)
        return records

    async def _end(self, current: Range, ids: Sequence[str]) -> None:
        """After a short page: is this the end, or did access rules take rows out of the middle?

        The limit applies before access rules. So the same stretch is asked for again, ids only, with its count: a
        count within the limit says that the limit cut nothing off, and then every id must have been read.
        """
        probe = await self._client.ask(
            self._source.table,
            self._query(current),
            fields=["sys_id"],
            limit=self._source.page_size,
            count=True,
            shrinks=True,
        )
        found = [sys_id for row in probe.rows if (sys_id := sys_id_of(row))]
        check_ids(found, current)
        total = (
            probe.total
            if probe.total is not None
            else await self._client.stats(self._source.table, self._query(current))
        )
        if not set(found) <= set(ids):
            self._ranges[0] = current.after(ids[-1]) if ids else current.starting_at(found[0])
            return
        is_end = total <= probe.limit
        if is_end and ids and total > len(found):
            is_end = not await self._shows_any(current.after(ids[-1]))
        if is_end:
            self._ranges.pop(0)
        elif ids:
            self._ranges[0] = current.after(ids[-1])
        else:
            self._split(current)

    async def _shows_any(self, rest: Range) -> bool:
        """Whether there is more to see although all was asked for: some answers hold fewer rows than that."""
        answer = await self._client.ask(
            self._source.table, self._query(rest), fields=["sys_id"], limit=self._source.page_size, shrinks=True
        )
        found = [sys_id for row in answer.rows if (sys_id := sys_id_of(row))]
        check_ids(found, rest)
        return bool(found)

    def _split(self, current: Range) -> None:
        """A whole page of rows is hidden: only a bound can lead past them."""
        halves = current.halves()
        if halves is None:
            raise Refused(
                "Rows that are hidden from the user cannot be passed",
                "Give the user a role that may read all records of the table, or set a filter that leaves them out",
            )
        self._ranges[0:1] = halves

    def _query(self, part: Range) -> str:
        since = f"sys_updated_on>={self._since.literal}" if self._since else ""
        return joined(self._source.filter, since, part.condition(), ORDER)

    async def _read(self, current: Range) -> tuple[list[Row], int]:
        """One page with its retries, smaller where that can help. (rows, the limit it was asked with)"""
        attempts = self._client.patience.attempts()
        query = self._query(current)
        while True:
            limit = self._size.now
            try:
                answer = await self._client.page(
                    self._source.table, query, fields=self._source.fields, limit=limit, labels=True
                )
            except PageTooLarge as error:
                is_smaller = self._size.shrink()
                try:
                    await attempts.again(error, at_once=is_smaller)
                except PageTooLarge:
                    if limit == 1:
                        return [await self._bare(error, current)], limit
                    self._size.now = 1  # Each try took so long that time is up: one more, for a single row.
            except Retryable as error:
                await attempts.again(error)
            else:
                self._size.grow()
                return answer.rows, limit

    async def _bare(self, error: PageTooLarge, current: Range) -> Row:
        """A record that is too much by itself: what it is called and why, by which it is rejected.

        Raises `error` where that is not sure: another record must be read in the same way.
        """
        source = self._source
        try:
            bare = await self._client.page(source.table, self._query(current), fields=_BARE, limit=1)
        except ConnectorError:
            raise error from None
        sys_id = next(filter(None, map(sys_id_of, bare.rows)), "")
        if not sys_id or not await self._can_read_another(sys_id):
            raise error
        return {**bare.rows[0], TOO_LARGE: _LEAVE_OUT.format(error.message, one_line(sys_id, 64))}

    async def _can_read_another(self, sys_id: str) -> bool:
        """Whether the record behind this one, the first or the last of all can be read: some may be too much too."""
        source = self._source
        for condition in (f"{Range(sys_id).condition()}^{ORDER}", ORDER, "ORDERBYDESCsys_id"):
            query = joined(source.filter, f"sys_id!={quoted(sys_id)}", condition)
            try:
                found = await self._client.page(source.table, query, fields=source.fields, limit=1, labels=True)
            except ConnectorError:
                continue
            if any(map(sys_id_of, found.rows)):
                return True
        return False


async def without_strays(
    client: ServiceNowClient, table: str, filter_text: str, promise: Promise, rows: Sequence[Row]
) -> Sequence[Row]:
    """The rows but for those that left the filter between being found and being read.

    Raises `Refused` where the filter finds them all the same: then the source ignores a part of it.
    """
    strays = promise.strays(rows)
    if not strays:
        return rows
    for found in await client.find(table, list(strays)[:_ASKED_AGAIN], filter_text=filter_text):
        raise ignored_in_filter(strays[found]) if found in strays else ignored("sys_id")
    return [row for row in rows if sys_id_of(row) not in strays]
