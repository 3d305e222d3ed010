"""From a ServiceNow row to a document: a table of choices, and plain code because it runs for every record.

A row was asked for with `sysparm_display_value=all`: each column is `{"value", "display_value"}`, codes and UTC times
in the one, labels, names and journals in the other. Columns that change without content (sys_updated_on,
sys_mod_count, …) are left out, so that the content hash says what a person would call a change.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.records import JsonObject, MappedDocument, SourceRecord
from integrations_api.connectors.servicenow.notes import notes_of
from integrations_api.connectors.servicenow.query import read_stamp
from integrations_api.connectors.servicenow.times import measured_zone, to_wire

MAPPING_VERSION = 1
"""Raised with every change of what `map_record` makes of the same row."""

CHOICES = {
    "state": ("state", "state_code"),
    "priority": ("priority", "priority_code"),
    "impact": ("impact", "impact_code"),
    "urgency": ("urgency", "urgency_code"),
    "severity": ("severity", "severity_code"),
    "escalation": ("escalation", "escalation_code"),
    "category": ("category", "category_code"),
    "subcategory": ("subcategory", "subcategory_code"),
    "contact_type": ("contact_type", "contact_type_code"),
    "close_code": ("close_code", "close_code_value"),
    "hold_reason": ("hold_reason", "hold_reason_code"),
}
"""Column to the attributes of its label and its code."""

REFERENCES = {
    "assignment_group": "assignment_group",
    "assigned_to": "assigned_to",
    "caller_id": "caller",
    "opened_by": "opened_by",
    "resolved_by": "resolved_by",
    "closed_by": "closed_by",
    "cmdb_ci": "cmdb_ci",
    "business_service": "business_service",
    "service_offering": "service_offering",
    "location": "location",
    "company": "company",
    "parent_incident": "parent_incident",
    "problem_id": "problem",
    "caused_by": "caused_by",
    "rfc": "change_request",
}
"""Column to the attribute of the name it refers to; the sys_id stands beside it with `_id` appended."""

TIMES = {
    "opened_at": "opened_at",
    "resolved_at": "resolved_at",
    "closed_at": "closed_at",
    "due_date": "due_at",
    "sys_created_on": "created_at",
}
COUNTS = ("reassignment_count", "reopen_count")
FLAGS = ("active", "made_sla")
WORDS = ("correlation_id",)
JOURNALS = ("comments", "work_notes")
TEXTS = ("number", "short_description", "description", "close_notes", "cause")

FIELDS = ("sys_id", *TEXTS, *JOURNALS, *CHOICES, *REFERENCES, *TIMES, *COUNTS, *FLAGS, *WORDS, "sys_updated_on")
"""The columns that are asked for; ServiceNow ignores those a table has not."""

_KNOWN = frozenset(
    {*FIELDS, "sys_updated_by", "sys_created_by", "sys_mod_count", "sys_tags", "comments_and_work_notes"}
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ISO_VALUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def cell(raw: Any) -> tuple[str, str]:
    """(value, label) of a column, whatever came: an object, a bare string, null, or something no one expected."""
    if type(raw) is dict:
        value, shown = raw.get("value"), raw.get("display_value")
        if type(value) is str and type(shown) is str:
            return value, shown or value
        value = _text(value)
        return value, _text(shown) or value
    text = _text(raw)
    return text, text


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else orjson.dumps(value).decode()


def read_record(raw: JsonObject) -> SourceRecord:
    """A row with the facts that the engine needs. Raises `RecordRejected` when it has no sys_id."""
    sys_id = cell(raw.get("sys_id"))[0]
    if not sys_id:
        raise RecordRejected("The record has no sys_id")
    return SourceRecord(
        sys_id, read_stamp(cell(raw.get("sys_updated_on"))[0]), read_stamp(cell(raw.get("sys_created_on"))[0]), raw
    )


def map_record(record: SourceRecord, link: str) -> MappedDocument:
    """The row as it is kept; `link` is the address of a record, to which the sys_id is appended.

    Raises `RecordRejected` when there is no number to call it by.
    """
    cells = {column: cell(raw) for column, raw in record.raw.items()}
    number = one_line(_value(cells, "number"))
    if not number:
        raise RecordRejected("The record has no number")
    return MappedDocument(
        number=number,
        title=one_line(_value(cells, "short_description")),
        text=_body(cells),
        notes=_notes(cells),
        attributes=_attributes(cells),
        url=f"{link}{record.external_id}",
    )


Cells = Mapping[str, tuple[str, str]]


def _value(cells: Cells, column: str) -> str:
    found = cells.get(column)
    return "" if found is None else found[0]


def one_line(text: str) -> str:
    """A number or title: on one line, without control characters."""
    return text.strip() if text.isprintable() else _CONTROLS.sub(" ", text).strip()


def _body(cells: Cells) -> str:
    parts = [_lines(_value(cells, "description"))]
    for column, heading in (("cause", "Cause"), ("close_notes", "Resolution")):
        if text := _lines(_value(cells, column)):
            parts.append(f"{heading}: {text}")
    return "\n\n".join(part for part in parts if part)


def _lines(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip()


def _notes(cells: Cells) -> list[Any]:
    journals = {column: cells[column][1] for column in JOURNALS if column in cells and cells[column][1]}
    if not journals:
        return []
    # sys_updated_on is the surest clock of all; it tells the zone here, and is no part of what is kept.
    zone = measured_zone(cells[column] for column in (*TIMES, "sys_updated_on") if column in cells)
    return notes_of(journals, zone)


def _attributes(cells: Cells) -> dict[str, Any]:
    """Codes beside labels, names beside ids; empty columns are left out."""
    found: dict[str, Any] = {}
    for column, (value, label) in cells.items():
        if not value:
            continue
        if (choice := CHOICES.get(column)) is not None:
            found[choice[0]], found[choice[1]] = label, value
        elif (name := REFERENCES.get(column)) is not None:
            found[name], found[f"{name}_id"] = label, value
        elif (name := TIMES.get(column)) is not None:
            found[name] = to_wire(value)
        elif column in COUNTS:
            found[column] = int(value) if value.isascii() and value.isdigit() and len(value) < 16 else value
        elif column in FLAGS:
            found[column] = {"true": True, "false": False}.get(value, value)
        elif column not in _KNOWN or column in WORDS:
            _add_other(found, column, value, label)
    if resolution := _lines(_value(cells, "close_notes")):
        found["resolution"] = resolution
    return found


def _add_other(found: dict[str, Any], column: str, value: str, label: str) -> None:
    """A column that an administrator added (`u_…`, dot-walked): its label, and the code where that is another."""
    if _ISO_VALUE.fullmatch(value):
        found[column] = to_wire(value)
        return
    found[column] = label
    if label != value:
        found[f"{column}_code"] = value
