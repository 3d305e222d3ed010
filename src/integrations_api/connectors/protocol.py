"""What the engine asks of a connector. Cursors are made and read only by the connector that made them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from integrations_api.connectors.records import (
    Check,
    FetchRequest,
    FetchStart,
    Gone,
    JsonObject,
    MappedDocument,
    Page,
    SourceCount,
    SourceRecord,
)


class Connector(Protocol):
    """One open connection to one source. Use it as an async context manager; every method may raise ConnectorError."""

    service: str
    """The service's own name, for messages: `ServiceNow`."""

    noun: str
    """What its records are called, plural: `incidents`."""

    async def __aenter__(self) -> "Connector": ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def start(self, request: FetchRequest) -> FetchStart:
        """Measures the next watermark and proves the query literals, before the first page."""
        ...

    def pages(self, start: FetchStart, lanes: Mapping[str, JsonObject | None]) -> AsyncGenerator[Page, None]:
        """Yields every page from `lanes` on (those with a cursor of None are done already).

        The same records in the same lanes whoever asks: a page that was yielded but not committed is read again.
        """
        ...

    def map(self, record: SourceRecord) -> MappedDocument:
        """Pure: the record as it is kept. Raises `RecordRejected`."""
        ...

    def restore(self, raw: JsonObject) -> SourceRecord:
        """The record again, from its stored raw form. Raises `RecordRejected` when its identity cannot be read."""
        ...

    async def count(self, created_until: datetime) -> SourceCount:
        """How many records of the configured filter the source has, created at or before the given source time."""
        ...

    async def count_to_read(self, start: FetchStart) -> SourceCount:
        """How many records the fetch that `start` begins would read, as the source counts them."""
        ...

    async def deleted_since(self, since: datetime) -> Sequence[str] | None:
        """External ids of what may be gone since then, by the source's delete log or because the filter no longer takes
        it; None where the source tells nothing of it. Each is confirmed before it counts.
        """
        ...

    async def confirm_gone(self, suspects: Mapping[str, str]) -> Sequence[Gone]:
        """Of the given external ids, those that are no longer there, each with the reason.

        Beside each id stands the number it was last known by, for sources that find nothing by id alone; it is
        empty for a record that could never be mapped.
        """
        ...

    async def check(self) -> Sequence[Check]:
        """The preflight: read only, seconds long, bounded; never raises for a failing check."""
        ...
