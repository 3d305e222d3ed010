"""From a ServiceNow row to a document: a table of choices, and plain code because it runs for every record.

A row was asked for with `sysparm_display_value=all`: each column is `{"value", "display_value"}`, codes and UTC times
in the one, labels, names and journals in the other. Columns that change without content (sys_updated_on,
sys_mod_count, …) are left out, so that the content hash says what a person would call a change. Another
document for the same row raises `MAPPING_VERSION` in `version.py`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct, field

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.records import JsonObject, MappedDocument, SourceRecord
from integrations_api.connectors.servicenow.config import ColumnChoice
from integrations_api.connectors.servicenow.notes import notes_of
from integrations_api.connectors.servicenow.query import read_stamp
from integrations_api.connectors.servicenow.times import DAY, SHAPE, measured_zone, to_wire
from integrations_api.connectors.text import one_line

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

PAIRS = CHOICES | {column: (name, f"{name}_id") for column, name in REFERENCES.items()}
"""Most columns are kept as two attributes, their label and their code or id, without a call of a rule for each."""

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
_IN_THE_TEXT = ("description", "close_notes", "cause")

FIELDS = ("sys_id", *TEXTS, *JOURNALS, *CHOICES, *REFERENCES, *TIMES, *COUNTS, *FLAGS, *WORDS, "sys_updated_on")
"""The columns that are asked for; ServiceNow ignores those a table has not."""

TOO_LARGE = "(too large)"
"""No column: why a record came without its content, which was too much for one answer."""

LEFT_OUT = ("sys_id", "sys_updated_by", "sys_created_by", "sys_mod_count", "sys_tags", "comments_and_work_notes")
_ISO_VALUE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_SHOWN_TIME = re.compile(SHAPE)
_ISO_DAY, _SHOWN_DAY = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(DAY)


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


class _Parts(Struct):
    """What the columns of one row have given so far; empty columns give nothing."""

    attributes: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    journals: dict[str, str] = field(default_factory=dict)
    clocks: list[tuple[str, str]] = field(default_factory=list)
    """Times as (UTC value, display value): they tell the session's zone."""


def map_record(record: SourceRecord, link: str, chosen: "Chosen | None" = None) -> MappedDocument:
    """The row as it is kept; `link` is the address of a record, to which the sys_id is appended.

    `chosen` are the columns of the config. Raises `RecordRejected` when there is no number to call it by, and for a row
    that came without its content.
    """
    if reason := record.raw.get(TOO_LARGE):
        raise RecordRejected(reason, number=one_line(cell(record.raw.get("number"))[0]) or None)
    chosen = chosen or _NOTHING_CHOSEN
    parts = _taken_apart(record.raw, chosen)
    texts = parts.texts
    number = one_line(texts.get("number", ""))
    if not number:
        raise RecordRejected("The record has no number")
    if resolution := _lines(texts.get("close_notes", "")):
        parts.attributes["resolution"] = resolution
    return MappedDocument(
        number=number,
        title=one_line(texts.get("short_description", "")),
        text=_body(texts, [(heading, cell(record.raw.get(column))[1]) for column, heading in chosen.texts]),
        notes=notes_of(parts.journals, measured_zone(parts.clocks)) if parts.journals else [],
        attributes=parts.attributes,
        url=f"{link}{record.external_id}",
    )


def _taken_apart(raw: JsonObject, chosen: "Chosen") -> _Parts:
    """Hands each column to its rule. The usual shape is read in place: this loop is most of a sync's own work."""
    parts = _Parts()
    attributes, rules = parts.attributes, chosen.rules
    for column, found in raw.items():
        try:
            value, label = found["value"], found["display_value"]
        except (KeyError, TypeError):
            value, label = cell(found)
        if type(value) is not str or type(label) is not str:
            value, label = cell(found)
        if not value:
            if label and column in JOURNALS:
                parts.journals[column] = label
            elif label and column in chosen.attributes:
                _keep_other(parts, column, value, label)  # journals of an administrator's own, for one
        elif names := PAIRS.get(column):
            attributes[names[0]] = label or value
            attributes[names[1]] = value
        elif rule := rules.get(column):
            rule(parts, value, label or value)
        else:
            _keep_other(parts, column, value, label or value)
    return parts


Rule = Callable[[_Parts, str, str], None]
"""Keeps the value and label of one column that is no pair."""


def _time(name: str) -> Rule:
    def keep(parts: _Parts, value: str, label: str) -> None:
        parts.attributes[name] = to_wire(value)
        parts.clocks.append((value, label))

    return keep


def _text_of(name: str) -> Rule:
    def keep(parts: _Parts, value: str, label: str) -> None:
        parts.texts[name] = value

    return keep


def _journal(name: str) -> Rule:
    def keep(parts: _Parts, value: str, label: str) -> None:
        parts.journals[name] = label

    return keep


def _count(name: str) -> Rule:
    def keep(parts: _Parts, value: str, label: str) -> None:
        is_number = value.isascii() and value.isdigit() and len(value) < 16
        parts.attributes[name] = int(value) if is_number else value

    return keep


def _flag(name: str) -> Rule:
    def keep(parts: _Parts, value: str, label: str) -> None:
        parts.attributes[name] = {"true": True, "false": False}.get(value, value)

    return keep


def _word(name: str) -> Rule:
    def keep(parts: _Parts, value: str, label: str) -> None:
        parts.attributes[name] = value

    return keep


def _only_a_clock(parts: _Parts, value: str, label: str) -> None:
    """sys_updated_on is the surest time of all; it tells the zone, and is no part of what is kept."""
    parts.clocks.append((value, label))


def _leave_out(parts: _Parts, value: str, label: str) -> None:
    pass


_RULES: dict[str, Rule] = {
    **{column: _time(name) for column, name in TIMES.items()},
    **{column: _text_of(column) for column in TEXTS},
    **{column: _journal(column) for column in JOURNALS},
    **{column: _count(column) for column in COUNTS},
    **{column: _flag(column) for column in FLAGS},
    **{column: _word(column) for column in WORDS},
    "sys_updated_on": _only_a_clock,
    **dict.fromkeys(LEFT_OUT, _leave_out),
}


def _keep_other(parts: _Parts, column: str, value: str, label: str) -> None:
    """A column that an administrator added (`u_…`, dot-walked): its label, and the code where that is another.

    A time or a day is kept as its value: its label has the format of whoever asks.
    """
    if (_ISO_VALUE.fullmatch(value) and not _is_duration(value, label)) or _is_day(value, label):
        parts.attributes[column] = to_wire(value)
        return
    parts.attributes[column] = label
    if value and label != value:
        parts.attributes.setdefault(f"{column}_code", value)  # unless there is a column of that name


def _is_day(value: str, label: str) -> bool:
    return _ISO_DAY.fullmatch(value) is not None and _SHOWN_DAY.fullmatch(label) is not None


def _is_duration(value: str, label: str) -> bool:
    """A duration is stored as a time since 1970, and shown in words: `1970-01-01 08:00:00` is "8 Hours"."""
    return value.startswith("197") and _SHOWN_TIME.fullmatch(label) is None


class Chosen(Struct, frozen=True):
    """What a config's `fields` make of the table of choices: rules by column, and (column, heading) in the text.

    `attributes` are the columns that are attributes because they were chosen.
    """

    rules: Mapping[str, Rule]
    attributes: frozenset[str]
    texts: Sequence[tuple[str, str]]


def choose(fields: Sequence[ColumnChoice]) -> Chosen:
    """Columns that are kept anyway stay as they are; one that is kept in the text alone is no attribute."""
    usual = (_RULES.keys() | PAIRS.keys()) - set(LEFT_OUT)
    attributes = frozenset(field.name for field in fields if field.to == "attributes") - usual
    texts = [field.name for field in fields if field.to == "text" and field.name not in _IN_THE_TEXT]
    rules = dict(_RULES)
    rules |= {column: _other(column) for column in attributes & set(LEFT_OUT)}
    rules |= dict.fromkeys(set(texts) - attributes - rules.keys() - PAIRS.keys(), _leave_out)
    return Chosen(rules, attributes, [(column, _heading(column)) for column in dict.fromkeys(texts)])


def _other(column: str) -> Rule:
    return lambda parts, value, label: _keep_other(parts, column, value, label)


def _heading(column: str) -> str:
    """`u_business_unit` is "Business unit"."""
    return re.sub(r"[._]+", " ", column.removeprefix("u_")).strip().capitalize()


_NOTHING_CHOSEN = Chosen(_RULES, frozenset(), ())


def _body(texts: Mapping[str, str], more: Sequence[tuple[str, str]]) -> str:
    parts = [_lines(texts.get("description", ""))]
    usual = (("Cause", texts.get("cause", "")), ("Resolution", texts.get("close_notes", "")))
    for heading, found in (*usual, *more):
        if text := _lines(found):
            parts.append(f"{heading}: {text}")
    return "\n\n".join(part for part in parts if part)


def _lines(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.strip()
