"""From a source's records to staged rows: mapping, hashing, and what to do with a record that cannot be mapped."""

import asyncio
import json
from collections.abc import Iterable, Sequence

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import JsonObject, MappedDocument, Page, SourceRecord
from integrations_api.knowledge import staging
from integrations_api.knowledge.documents import Row, StagedRecord, as_row, too_long
from integrations_api.sync.models import SyncRun

SLICE = 50
"""Records mapped before other tasks get a turn: heartbeats and streams must breathe."""


async def map_page(page: Page, *, run: SyncRun, connector: Connector, first: int) -> list[Row]:
    """Rows of `raw_records` for a page, numbered from `first` on."""
    return await _rows(page.records, run=run, connector=connector, first=first)


async def stage_rejected_again(session: AsyncSession, *, run: SyncRun, connector: Connector) -> None:
    """Stages, before all pages, the records that earlier runs could not map; a fresh copy counts more."""
    stored = await staging.open_rejections(session, run.dataset_id)
    records = [record for text in stored if (record := _restored(connector, text)) is not None]
    rows = await _rows(records, run=run, connector=connector, first=-len(records))
    await staging.stage(session, rows)


def _restored(connector: Connector, text: str) -> SourceRecord | None:
    try:
        return connector.restore(json.loads(text))
    except RecordRejected:
        return None


async def _rows(records: Sequence[SourceRecord], *, run: SyncRun, connector: Connector, first: int) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(records), SLICE):
        part = records[start : start + SLICE]
        staged = (judge(record, connector) for record in part)
        rows.extend(_number(staged, run=run, first=first + start))
        await asyncio.sleep(0)
    return rows


def _number(staged: Iterable[StagedRecord], *, run: SyncRun, first: int) -> Iterable[Row]:
    return (as_row(run.id, run.dataset_id, first + i, record) for i, record in enumerate(staged))


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
