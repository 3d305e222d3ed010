"""A document's content as it is hashed and stored."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from integrations_api.connectors.records import MappedDocument, Note, SourceRecord

NUMBER_LIMIT = 255
"""Longest number or external id, in characters: both stand in B-tree indexes."""


@dataclass(frozen=True, slots=True)
class StagedRecord:
    """A source record, mapped or rejected, as it is staged; `raw` is its JSON text."""

    source: SourceRecord
    raw: str
    document: MappedDocument | None
    rejection: str | None


def _plain(note: Note) -> dict[str, str]:
    return {"at": note.at, "author": note.author, "kind": note.kind, "text": note.text}


def plain(document: MappedDocument) -> dict[str, Any]:
    """A mapped document as it is read back once it is stored, for comparing."""
    return {
        "number": document.number,
        "title": document.title,
        "text": document.text,
        "notes": [_plain(note) for note in document.notes],
        "attributes": dict(document.attributes),
        "url": document.url,
    }


def as_columns(document: MappedDocument) -> tuple[bytes, str, str, str, str, str, str | None]:
    """(hash, number, title, text, notes as JSON, attributes as JSON, url): what is stored of a mapped document.

    The hash covers all of them and nothing else: two records with the same hash read the same.
    """
    notes = orjson.dumps([_plain(note) for note in document.notes])
    attributes = orjson.dumps(document.attributes, option=orjson.OPT_SORT_KEYS)
    head = orjson.dumps([document.number, document.title, document.text, document.url])
    digest = hashlib.sha256(b"%d\0%d\0" % (len(head), len(notes)) + head + notes + attributes).digest()
    return (
        digest,
        document.number,
        document.title,
        document.text,
        notes.decode(),
        attributes.decode(),
        document.url,
    )


def too_long(record: SourceRecord, document: MappedDocument | None) -> str | None:
    """The reason why a record cannot be stored although it could be mapped, if there is one."""
    if len(record.external_id) > NUMBER_LIMIT:
        return f"its id is longer than {NUMBER_LIMIT} characters"
    if document is not None and len(document.number) > NUMBER_LIMIT:
        return f"its number is longer than {NUMBER_LIMIT} characters"
    return None


Row = tuple[Any, ...]


def as_row(run_id: Any, dataset_id: Any, seq: int, staged: StagedRecord) -> Row:
    """One row of `raw_records`, in the order of `staging.COLUMNS`."""
    record = staged.source
    updated: datetime | None = record.updated_at
    if staged.document is None:
        return (run_id, record.external_id[:NUMBER_LIMIT], seq, dataset_id, updated, record.created_at,
                staged.rejection, staged.raw, None, None, None, None, None, None, None)  # fmt: skip
    return (run_id, record.external_id, seq, dataset_id, updated, record.created_at,
            None, staged.raw, *as_columns(staged.document))  # fmt: skip
