"""A source in memory, for tests of the engine: it holds rows, is changed between runs, and fails when told to."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from integrations_api.connectors.errors import ConnectorError, RecordRejected
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import (
    Check,
    FetchRequest,
    FetchStart,
    Gone,
    JsonObject,
    MappedDocument,
    Note,
    OnWait,
    Page,
    SourceCount,
    SourceRecord,
    Wait,
)
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.sync.sources import SourceName

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class MemorySource:
    """Rows by external id; every change is stamped by a clock that moves a second each time."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    page_size: int = 1000
    ticks: int = 0
    fail_at_page: int | None = None
    failure: ConnectorError | None = None
    gate: asyncio.Event | None = None
    waits: list[Wait] = field(default_factory=list)
    delete_log: list[str] = field(default_factory=list)
    counted: int | None = None
    mapping_version: int = 1
    pages_read: int = 0
    hidden: set[str] = field(default_factory=set)
    """Rows that are counted and not shown."""
    unlisted: set[str] = field(default_factory=set)
    """Rows that pages leave out, and that are there when they are asked for by id."""
    suspected: dict[str, str] = field(default_factory=dict)
    """What `confirm_gone` was asked last."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> datetime:
        """The source's clock."""
        return EPOCH + timedelta(seconds=self.ticks)

    def add(self, *numbers: str, title: str = "Mail is down") -> None:
        """New incidents."""
        for number in numbers:
            self.ticks += 1
            stamp = self.now().isoformat()
            self.rows[f"id-{number}"] = {
                "id": f"id-{number}", "number": number, "title": title, "created": stamp, "updated": stamp,
            }  # fmt: skip

    def fill(self, count: int) -> None:
        """INC00001, INC00002, …"""
        self.add(*(f"INC{i:05d}" for i in range(1, count + 1)))

    def change(self, number: str, /, **values: Any) -> None:
        """An update; without values only the stamp moves."""
        self.ticks += 1
        self.rows[f"id-{number}"] |= {**values, "updated": self.now().isoformat()}

    def remove(self, number: str) -> None:
        """A deletion, written in the delete log."""
        self.ticks += 1
        del self.rows[f"id-{number}"]
        self.delete_log.append(f"id-{number}")

    def hide(self, number: str) -> None:
        """Access rules take it away."""
        self.hidden.add(f"id-{number}")

    def show(self, number: str) -> None:
        """Access rules give it back."""
        self.hidden.discard(f"id-{number}")


@dataclass
class MemoryConnector:
    """Reads a MemorySource in pages by id, as the protocol says."""

    source: MemorySource
    on_wait: OnWait
    service: str = "ServiceNow"
    noun: str = "incidents"

    async def __aenter__(self) -> Connector:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def start(self, request: FetchRequest) -> FetchStart:
        return FetchStart(
            since=request.since,
            next_watermark=self.source.now(),
            source_now=self.source.now(),
            lanes={"all": {"after": ""}},
        )

    async def pages(self, start: FetchStart, lanes: Mapping[str, JsonObject | None]) -> AsyncGenerator[Page, None]:
        cursor = lanes["all"]
        while cursor is not None:
            await self._behave()
            found = self._after(cursor["after"], start.since)
            page, more = found[: self.source.page_size], len(found) > self.source.page_size
            cursor = {"after": page[-1].external_id} if more else None
            self.source.pages_read += 1
            yield Page(records=page, lane="all", cursor=cursor)

    async def _behave(self) -> None:
        while self.source.waits:
            await self.on_wait(self.source.waits.pop())
        self.source.reached.set()
        if self.source.gate is not None:
            await self.source.gate.wait()
        if self.source.fail_at_page == self.source.pages_read and self.source.failure is not None:
            raise self.source.failure

    def _after(self, after: str, since: datetime | None) -> list[SourceRecord]:
        listed = self.source.rows.keys() - self.source.hidden - self.source.unlisted
        records = [self.restore(self.source.rows[key]) for key in sorted(listed) if key > after]
        return [r for r in records if since is None or (r.updated_at is not None and r.updated_at >= since)]

    def map(self, record: SourceRecord) -> MappedDocument:
        raw = record.raw
        if not raw.get("number"):
            raise RecordRejected("it has no number")
        notes = [Note(at="2026-03-01T10:00:00Z", author="Ada", kind="comment", text=t) for t in raw.get("notes", [])]
        attributes = {"state": raw.get("state", "New")}
        if self.source.mapping_version > 1:
            attributes["mapped_by"] = str(self.source.mapping_version)
        return MappedDocument(raw["number"], raw["title"], raw.get("text", ""), notes, attributes, None)

    def restore(self, raw: JsonObject) -> SourceRecord:
        if "id" not in raw:
            raise RecordRejected("it has no id")
        moment = datetime.fromisoformat
        return SourceRecord(raw["id"], moment(raw["updated"]), moment(raw["created"]), raw)

    async def count(self, created_until: datetime) -> SourceCount:
        if self.source.counted is not None:
            return SourceCount(self.source.counted)
        return SourceCount(
            sum(datetime.fromisoformat(r["created"]) <= created_until for r in self.source.rows.values())
        )

    async def count_to_read(self, start: FetchStart) -> SourceCount:
        return SourceCount(len(self._after("", start.since)))

    async def deleted_since(self, since: datetime) -> Sequence[str] | None:
        return self.source.delete_log

    async def confirm_gone(self, suspects: Mapping[str, str]) -> Sequence[Gone]:
        self.source.suspected = dict(suspects)
        hidden = [Gone(key, "no_longer_visible") for key in suspects if key in self.source.hidden]
        return hidden + [Gone(key, "deleted") for key in suspects if key not in self.source.rows]

    async def check(self) -> Sequence[Check]:
        return []


@dataclass
class MemorySources:
    """Gives the same source for every integration."""

    source: MemorySource

    def describe(self, integration: IntegrationForSync) -> SourceName:
        return SourceName(name="ServiceNow", noun="incidents")

    def mapping_version(self, service_name: str) -> int:
        return self.source.mapping_version

    def check(self, integration: IntegrationForSync) -> None:
        return None

    def open(
        self, integration: IntegrationForSync, *, on_wait: OnWait, retry_seconds: float | None = None
    ) -> AbstractAsyncContextManager[Connector]:
        return MemoryConnector(source=self.source, on_wait=on_wait)
