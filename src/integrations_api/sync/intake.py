"""From a source's records to rows: mapping, hashing, and what to do with a record that cannot be mapped."""

import asyncio
import json
from collections.abc import Awaitable, Iterable

import orjson
from msgspec import Struct

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import JsonObject, Page, SourceRecord
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import staging
from integrations_api.knowledge.documents import NUMBER_LIMIT, Content, Row, StagedRecord, as_row, content_of, too_long
from integrations_api.knowledge.staging import Rejection
from integrations_api.sync.models import SyncRun
from integrations_api.tasks import Turns

LARGE = 20_000
"""Characters of a raw record from which on it is mapped beside the event loop: a megabyte of markup takes seconds."""
LARGEST = 20_000_000
"""Characters of a raw record that is stored. Four times as long as what ServiceNow is asked to take for a text."""
_TOO_LARGE = f"it is larger than {LARGEST // 1_000_000} MB: shorten its texts or lists at the source"
_TOO_DEEP = "it is nested too deeply"
NOTHING = "{}"
"""Stored in place of a raw record that is too much: it stays rejected until the source gives it anew."""


class Intake(Struct, frozen=True):
    """Records made ready to be stored: rows of `raw_records`, and the contents of those that could be mapped."""

    rows: list[Row]
    contents: list[Content]


async def map_page(page: Page, *, run: SyncRun, connector: Connector, first: int) -> Intake:
    """A page made ready, its rows numbered from `first` on."""
    return await _take_in((judged(record, connector) for record in page.records), run=run, first=first)


async def take_in_rejected(sessions: Sessions, *, run: SyncRun, connector: Connector) -> Intake:
    """The records that earlier runs could not map, numbered to come before all pages: a fresh copy counts more.

    Mapped in no transaction: there may be thousands, and one that stands idle for so long is ended.
    """
    async with sessions() as session:
        stored = await staging.open_rejections(session, run.dataset_id)
    return await _take_in((_judged_again(one, connector) for one in stored), run=run, first=-len(stored))


async def _judged_again(one: Rejection, connector: Connector) -> StagedRecord:
    """Tried from its stored copy; what that is too little for stays rejected, for the reason it has."""
    try:
        record = connector.restore(json.loads(one.raw))
    except (RecordRejected, RecursionError):
        source = SourceRecord(one.external_id, one.source_updated_at, one.source_created_at, {})
        return StagedRecord(source=source, raw=one.raw, document=None, rejection=one.reason)
    return await judged(record, connector)


async def _take_in(judging: Iterable[Awaitable[StagedRecord]], *, run: SyncRun, first: int) -> Intake:
    rows: list[Row] = []
    contents: list[Content] = []
    turns = Turns()
    for seq, judgement in enumerate(judging, first):
        staged = await judgement
        rows.append(as_row(run.id, run.dataset_id, seq, staged))
        if staged.content is not None:
            contents.append(staged.content)
        await turns.pause()
    return Intake(rows, contents)


async def judged(record: SourceRecord, connector: Connector) -> StagedRecord:
    """The record mapped, or rejected with its reason; however large it is, other tasks go on meanwhile."""
    try:
        raw = raw_text(record.raw)
    except RecursionError:
        return StagedRecord(source=record, raw=NOTHING, document=None, rejection=_TOO_DEEP)
    if len(raw) > LARGEST:
        return StagedRecord(source=record, raw=NOTHING, document=None, rejection=_TOO_LARGE)
    if len(raw) > LARGE:
        return await asyncio.to_thread(_judge, record, raw, connector)
    return _judge(record, raw, connector)


def _judge(record: SourceRecord, raw: str, connector: Connector) -> StagedRecord:
    number = None
    try:
        document = connector.map(record)
        reason = too_long(record, document)
        if reason is None:
            return StagedRecord(record, raw, document, rejection=None, content=content_of(document))
    except RecordRejected as rejection:
        reason = str(rejection)
        number = rejection.number[:NUMBER_LIMIT] if rejection.number else None
    except (RecursionError, orjson.JSONEncodeError):
        reason = _TOO_DEEP
    return StagedRecord(record, raw, document=None, rejection=reason, number=number)


def raw_text(raw: JsonObject) -> str:
    """The raw record as JSON text; what orjson refuses (lone surrogates, huge integers) json escapes."""
    try:
        return orjson.dumps(raw).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(raw)
