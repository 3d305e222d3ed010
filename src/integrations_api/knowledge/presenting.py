"""From rows to what is on the wire: plain dictionaries, for a page may hold a thousand incidents.

`schemas` documents their shapes; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from integrations_api.clock import to_wire
from integrations_api.db.direct import Row as DirectRow
from integrations_api.knowledge.comparing import FieldChange, WordComparison, field_changes, is_long_text
from integrations_api.knowledge.diffing import side
from integrations_api.knowledge.embedding import Progress

Wire = dict[str, Any]

_NOTE = ("at", "author", "kind", "text")
_VERDICT = ("state", "source", "stored", "rejected", "hidden", "why", "ids")


def dataset(row: Row[Any]) -> Wire:
    """DATASET; its id is the integration's, also when that is deleted."""
    return {
        "integration_id": str(row.id),
        "integration_deleted": row.integration_deleted,
        "service_name": row.service_name,
        "head": row.head,
        "documents": row.documents,
        "tombstones": row.tombstones,
        "verdict": None if row.verdict is None else _ordered(row.verdict, _VERDICT),
    }


def embedded(progress: Progress | None) -> Wire | None:
    """EMBEDDED."""
    if progress is None:
        return None
    return {
        "model": progress.model,
        "answers": progress.is_active,
        "embedded": progress.embedded,
        "refused": progress.refused,
        "of": progress.of,
    }


def version(row: Row[Any]) -> Wire:
    """VERSION."""
    return {
        "number": row.number,
        "state": row.state,
        "kind": row.kind,
        "run_id": None if row.run_id is None else str(row.run_id),
        "parent": row.parent,
        "source_version": row.source_version,
        "added": row.added,
        "updated": row.updated,
        "deleted": row.deleted,
        "documents": row.documents,
        "created_at": to_wire(row.created_at),
        "published_at": to_wire(row.published_at),
        "note": row.note,
    }


def incident(row: Row[Any] | DirectRow, answered_by: int) -> Wire:
    """INCIDENT, as the version `answered_by` has it; a tombstone also says its reason."""
    shown: Wire = {
        "id": str(row.id),
        "number": row.number,
        "external_id": row.external_id,
        "integration_id": str(row.dataset_id),
        "title": row.title,
        "text": row.text,
        "notes": [_ordered(note, _NOTE) for note in row.notes],
        "attributes": row.attributes,
        "url": row.url,
        "source_updated_at": to_wire(row.source_updated_at),
        "synced_at": to_wire(row.synced_at),
        "version": answered_by,
        "change": row.change,
        "changed_in": row.changed_in,
    }
    if row.change == "deleted":
        shown["reason"] = row.reason
    return shown


def _ordered(value: Mapping[str, Any], keys: Sequence[str]) -> Wire:
    """The same with these keys first: jsonb keeps them by their length."""
    return {**{key: value[key] for key in keys if key in value}, **value}


def diff_entry(row: Row[Any], words: WordComparison) -> Wire:
    """One incident of a diff; only a changed one has fields."""
    entry: Wire = {
        "number": row.number,
        "id": str(row.id),
        "change": row.kind,
        "reason": row.reason,
        "title": row.base_title if row.kind == "removed" else row.new_title,
        "fields": [],
    }
    if row.kind == "changed":
        changes = field_changes(side(row, "base"), side(row, "new"))
        entry["fields"] = [_field(change, words) for change in changes]
    return entry


def _field(change: FieldChange, words: WordComparison) -> Wire:
    shown: Wire = {"field": change.field, "before": change.before, "after": change.after}
    if is_long_text(change):
        pieces = words.segments(change.before, change.after)
        shown["segments"] = [{"op": piece.op, "text": piece.text} for piece in pieces]
    return shown


def history_entry(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> Wire:
    """One content change of an incident, and the fields in which it differs from the one before."""
    changes = [] if before is None else field_changes(before, row)
    return {
        "version": row["version"],
        "at": to_wire(row["at"]),
        "kind": row["kind"],
        "change": row["change"],
        "reason": row["reason"],
        "number": row["number"],
        "title": row["title"],
        "source_updated_at": to_wire(row["source_updated_at"]),
        "fields": [change.field for change in changes],
    }
