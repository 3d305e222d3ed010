"""From a source's records to rows: mapping, hashing, and what to do with a record that cannot be mapped."""

import asyncio
import json
from collections.abc import Sequence

import orjson
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import JsonObject, MappedDocument, Page, SourceRecord
from integrations_api.knowledge import staging
from integrations_api.knowledge.documents import Content, Row, StagedRecord, as_row, content_of, too_long
from integrations_api.sync.models import SyncRun

SLICE = 50
"""Records mapped before other tasks get a turn: heartbeats and streams must breathe."""


class Intake(Struct, frozen=True):
    """Records made ready to be stored: rows of `raw_records`, and the contents of those that could be mapped."""

    rows: list[Row]
    contents: list[Content]


async def map_page(page: Page, *, run: SyncRun, connector: Connector, first: int) -> Intake:
    """A page made ready, its rows numbered from `first` on."""
    return await _take_in(page.records, run=run, connector=connector, first=first)


async def take_in_rejected(session: AsyncSession, *, run: SyncRun, connector: Connector) -> Intake:
    """The records that earlier runs could not map, numbered to come before all pages: a fresh copy counts more."""
    stored = await staging.open_rejections(session, run.dataset_id)
    records = [record for text in stored if (record := _restored(connector, text)) is not None]
    return await _take_in(records, run=run, connector=connector, first=-len(records))


def _restored(connector: Connector, text: str) -> SourceRecord | None:
    try:
        return connector.restore(json.loads(text))
    except RecordRejected:
        return None


async def _take_in(records: Sequence[SourceRecord], *, run: SyncRun, connector: Connector, first: int) -> Intake:
    rows: list[Row] = []
    contents: list[Content] = []
    for seq, record in enumerate(records, first):
        staged = judge(record, connector)
        content = content_of(staged.document) if staged.document is not None else None
        rows.append(as_row(run.id, run.dataset_id, seq, staged, content))
        if content is not None:
            contents.append(content)
        if len(rows) % SLICE == 0:
            await asyncio.sleep(0)
    return Intake(rows, contents)


def judge(record: SourceRecord, connector: Connector) -> StagedRecord:
    """The record mapped, or rejected with its reason."""
    document: MappedDocument | None = None
    try:
        document = connector.map(record)
        reason = too_long(record, document)
    except RecordRejected as rejection:
        reason = str(rejection)
    if reason is not None:
        document = None
    return StagedRecord(source=record, raw=raw_text(record.raw), document=document, rejection=reason)


def raw_text(raw: JsonObject) -> str:
    """The raw record as JSON text; what orjson refuses (lone surrogates, huge integers) json escapes."""
    try:
        return orjson.dumps(raw).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(raw)
