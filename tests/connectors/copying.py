"""Keeps a copy of a source the way the engine does, without a database: what is lost here would be lost there."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from integrations_api.clock import utc_now
from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import FetchRequest, FetchStart, MappedDocument, Mode, Page, SourceRecord, Wait
from integrations_api.connectors.retry import Time


@dataclass
class FastTime:
    """Waits pass at once and are remembered; the clock of waiting moves by them alone."""

    moment: float = 1000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += seconds
        await asyncio.sleep(0)

    @property
    def time(self) -> Time:
        return Time(sleep=self.sleep, monotonic=lambda: self.moment, now=utc_now, random=lambda: 0.5)


@dataclass
class Fetched:
    """What one sync read."""

    start: FetchStart
    pages: list[Page] = field(default_factory=list)

    @property
    def records(self) -> list[SourceRecord]:
        return [record for page in self.pages for record in page.records]


async def fetch(connector: Connector, mode: Mode = "full", since: datetime | None = None) -> Fetched:
    """One whole fetch."""
    start = await connector.start(FetchRequest(mode, since))
    fetched = Fetched(start)
    async with aclosing(connector.pages(start, start.lanes)) as pages:
        async for page in pages:
            fetched.pages.append(page)
    return fetched


@dataclass
class Copy:
    """Documents by external id, with the source's stamp; `open_connector` is called for each sync."""

    open_connector: Callable[[], Connector]
    documents: dict[str, MappedDocument] = field(default_factory=dict)
    stamps: dict[str, datetime | None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    watermark: datetime | None = None

    async def sync(self, mode: Mode = "incremental") -> Fetched:
        """One run: fetch, keep, look for what vanished, move the watermark."""
        async with self.open_connector() as connector:
            before = set(self.documents)
            deleted_from = self.watermark
            fetched = await fetch(connector, mode, self.watermark)
            for record in fetched.records:
                self._keep(connector, record)
            if fetched.start.since is None:
                suspects: Sequence[str] = sorted(before - {record.external_id for record in fetched.records})
            else:
                named = await connector.deleted_since(deleted_from) if deleted_from else []
                suspects = [sys_id for sys_id in named or () if sys_id in self.documents]
            for lost in await connector.confirm_gone({key: self.documents[key].number for key in suspects}):
                self.documents.pop(lost.external_id)
                self.gone[lost.external_id] = lost.reason
            self.watermark = fetched.start.next_watermark
            return fetched

    def _keep(self, connector: Connector, record: SourceRecord) -> None:
        self.stamps[record.external_id] = record.updated_at
        self.rejected.pop(record.external_id, None)
        try:
            self.documents[record.external_id] = connector.map(record)
        except RecordRejected as reason:
            self.rejected[record.external_id] = str(reason)


@dataclass
class Ear:
    """Remembers the waits it was told of."""

    heard: list[Wait] = field(default_factory=list)

    async def __call__(self, wait: Wait) -> None:
        self.heard.append(wait)
