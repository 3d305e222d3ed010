"""A document's content as it is hashed and stored."""

import hashlib
from typing import Any
from uuid import UUID

import orjson
from msgspec import Struct
from msgspec.structs import asdict

from integrations_api.connectors.records import MappedDocument, SourceRecord

NUMBER_LIMIT = 255
"""Longest number or external id, in characters: both stand in B-tree indexes."""


class Content(Struct, frozen=True):
    """What is stored of a mapped document; `hash` covers it and the number, so the same hash reads the same."""

    hash: bytes
    title: str
    text: str
    notes: str
    """JSON."""
    spoken: str
    """The notes' words alone, for searching."""
    attributes: str
    """JSON."""
    url: str | None


class StagedRecord(Struct, frozen=True):
    """A source record, mapped or rejected, as it is staged; `raw` is its JSON text."""

    source: SourceRecord
    raw: str
    document: MappedDocument | None
    rejection: str | None
    content: Content | None = None
    """What is stored of the document."""
    number: str | None = None
    """What people know a rejected record by, where that can be told."""


def plain(document: MappedDocument) -> dict[str, Any]:
    """A mapped document as it is read back once it is stored, for comparing."""
    return {
        "number": document.number,
        "title": document.title,
        "text": document.text,
        "notes": [asdict(note) for note in document.notes],
        "attributes": dict(document.attributes),
        "url": document.url,
    }


def content_of(document: MappedDocument) -> Content:
    """The content of a mapped document, with its hash."""
    notes = orjson.dumps(document.notes, default=asdict)  # [{"at", "author", "kind", "text"}, …], as a Note has them
    attributes = orjson.dumps(document.attributes, option=orjson.OPT_SORT_KEYS)
    head = orjson.dumps([document.number, document.title, document.text, document.url])
    return Content(
        hash=hashlib.sha256(b"%d\0%d\0" % (len(head), len(notes)) + head + notes + attributes).digest(),
        title=document.title,
        text=document.text,
        notes=notes.decode(),
        spoken=" ".join(note.text for note in document.notes),
        attributes=attributes.decode(),
        url=document.url,
    )


def too_long(record: SourceRecord, document: MappedDocument | None) -> str | None:
    """The reason why a record cannot be stored although it could be mapped, if there is one."""
    if len(record.external_id) > NUMBER_LIMIT:
        return f"its id is longer than {NUMBER_LIMIT} characters"
    if document is not None and len(document.number) > NUMBER_LIMIT:
        return f"its number is longer than {NUMBER_LIMIT} characters"
    return None


Row = tuple[Any, ...]


def as_row(run_id: UUID, dataset_id: UUID, seq: int, staged: StagedRecord) -> Row:
    """One row of `raw_records`, in the order of `staging.COLUMNS`."""
    record = staged.source
    return (
        run_id,
        record.external_id[:NUMBER_LIMIT],
        seq,
        dataset_id,
        record.updated_at,
        record.created_at,
        staged.rejection,
        staged.raw,
        staged.content.hash if staged.content else None,
        staged.document.number if staged.document else staged.number,
    )
