"""From a Jira issue to a document: a table of choices.

Identity is the issue's id: its key changes when it is moved. What changes without content (updated, votes, ranks) is
left out, so that the content hash says what a person would call a change. A text may be an ADF document (Cloud) or
wiki markup (Data Center); a field may be missing, null or of a shape that no one expected. Another document
for the same issue raises `MAPPING_VERSION` in `version.py`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.jira import adf, wiki
from integrations_api.connectors.records import JsonObject, MappedDocument, Note, SourceRecord
from integrations_api.connectors.text import one_line

FIELDS = (
    "summary", "description", "environment", "status", "priority", "issuetype", "resolution", "project", "components",
    "labels", "assignee", "reporter", "creator", "parent", "created", "updated", "resolutiondate", "duedate", "comment",
)  # fmt: skip
"""The fields that are asked for."""

CHOICES = {
    "status": ("state", "state_code"),
    "priority": ("priority", "priority_code"),
    "issuetype": ("category", "category_code"),
    "resolution": ("resolution", "resolution_code"),
}
"""Field to the attributes of its name and its id."""
PEOPLE = {"assignee": "assigned_to", "reporter": "caller", "creator": "opened_by"}
"""Field to the attribute of the person's name; the account stands beside it with `_id` appended."""
TIMES = {"created": "created_at", "resolutiondate": "resolved_at", "duedate": "due_at"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d{4})")
_SPRINT = "com.atlassian.greenhopper.service.sprint.Sprint@"
"""So begins a sprint in Data Center: as Java writes an object, with an address that is another one in each answer."""


def read_moment(value: Any) -> datetime | None:
    """A time as Jira writes it (`2026-03-02T09:00:00.000+0000`); None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def fields_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """An issue's fields; none where they are no object."""
    fields = raw.get("fields")
    return fields if isinstance(fields, dict) else {}


def read_issue(raw: JsonObject) -> SourceRecord:
    """An issue with the facts that the engine needs. Raises `RecordRejected` when it has no id."""
    issue_id = raw.get("id")
    if not isinstance(issue_id, str | int) or isinstance(issue_id, bool) or not str(issue_id):
        raise RecordRejected("The issue has no id")
    fields = fields_of(raw)
    return SourceRecord(str(issue_id), read_moment(fields.get("updated")), read_moment(fields.get("created")), raw)


def map_issue(record: SourceRecord, *, site: str, custom: Sequence[str] = ()) -> MappedDocument:
    """The issue as it is kept; `site` is the address that people open. Raises `RecordRejected` without a key."""
    key = record.raw.get("key")
    if not isinstance(key, str) or not key.strip():
        raise RecordRejected("The issue has no key")
    fields = fields_of(record.raw)
    return MappedDocument(
        number=key.strip(),
        title=one_line(_text(fields.get("summary"))),
        text=_body(fields),
        notes=_notes(fields.get("comment")),
        attributes=_attributes(fields, custom),
        url=f"{site}/browse/{key.strip()}",
    )


# ---- texts


def _text(value: Any) -> str:
    """A text in any of the forms that Jira gives it."""
    if isinstance(value, dict):
        return adf.to_text(value)
    return value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""


def _rich(value: Any) -> str:
    return wiki.to_text(value) if isinstance(value, str) else _text(value)


def _body(fields: Mapping[str, Any]) -> str:
    parts = [_rich(fields.get("description"))]
    for heading, text in (
        ("Environment", _rich(fields.get("environment"))),
        ("Resolution", _name(fields.get("resolution"))),
    ):
        if text:
            parts.append(f"{heading}: {text}")
    return "\n\n".join(part for part in parts if part)


def _notes(value: Any) -> list[Note]:
    """Comments, newest first, as ServiceNow's journals are; Jira gives the oldest first, also of one second."""
    comments = value.get("comments") if isinstance(value, dict) else None
    if not isinstance(comments, list):
        return []
    notes = [_note(comment) for comment in reversed(comments) if isinstance(comment, dict)]
    return sorted((note for note in notes if note.text), key=lambda note: note.at, reverse=True)


def _note(comment: Mapping[str, Any]) -> Note:
    # A service desk tells its customers' view from its agents'; elsewhere there is only one.
    kind = "internal_comment" if comment.get("jsdPublic") is False else "comment"
    at = _time(comment.get("created"))
    return Note(at=at, author=_person(comment.get("author"))[0], kind=kind, text=_rich(comment.get("body")))


# ---- attributes


def _attributes(fields: Mapping[str, Any], custom: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column, names in CHOICES.items():
        found |= _pair(names, _name(fields.get(column)), _identity(fields.get(column)))
    found |= _project(fields.get("project"))
    for column, name in PEOPLE.items():
        found |= _pair((name, f"{name}_id"), *_person(fields.get(column)))
    for column, name in TIMES.items():
        found |= _single(name, _time(fields.get(column)))
    found |= _single("state_category", _name(_inner(fields.get("status"), "statusCategory")))
    found |= _single("parent", str(_inner(fields.get("parent"), "key") or ""))
    found |= _single("components", _names(fields.get("components")))
    found |= _single("labels", _names(fields.get("labels")))
    for column in custom:
        found |= _single(column, _simple(fields.get(column)))
    return found


def _project(value: Any) -> dict[str, Any]:
    """The project is the group: in Jira it is what a team's queue, permissions and workflow hang on."""
    key = _inner(value, "key")
    return _pair(("assignment_group", "assignment_group_id"), _name(value), key if isinstance(key, str) else "")


def _single(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value or value == 0 else {}


def _pair(names: tuple[str, str], label: str, code: str) -> dict[str, Any]:
    return _single(names[0], label) | _single(names[1], code)


def _inner(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _name(value: Any) -> str:
    """What a thing is called: `displayName` of a person, `name`, or `value` for an option of a select list; a bare text
    is its own name.
    """
    if isinstance(value, str):
        return value.strip()
    for key in ("displayName", "name", "value"):
        if isinstance(found := _inner(value, key), str):
            return found.strip()
    return ""


def _identity(value: Any) -> str:
    found = _inner(value, "id")
    return str(found) if isinstance(found, str | int) else ""


def _person(value: Any) -> tuple[str, str]:
    """Display name and account: `accountId` on Cloud, `name` on Data Center."""
    shown, account, name = (_inner(value, key) for key in ("displayName", "accountId", "name"))
    identity = account if isinstance(account, str) else name if isinstance(name, str) else ""
    return (shown.strip() if isinstance(shown, str) else identity), identity


def _names(value: Any) -> list[str]:
    return [name for each in value if (name := _name(each))] if isinstance(value, list) else []


def _time(value: Any) -> str:
    """UTC, whole seconds; a day as it is; empty for anything else."""
    moment = read_moment(value)
    if moment is not None:
        return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
    return value if isinstance(value, str) and len(value) == 10 else ""


def _simple(value: Any) -> Any:
    """A custom field of any kind as text, number, truth or list of texts; times in UTC."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _simple_text(value)
    if isinstance(value, list):
        return [found for each in value if (found := _simple(each)) not in ("", [])]
    if isinstance(value, dict) and value.get("type") == "doc":
        return adf.to_text(value)
    if isinstance(value, dict) and isinstance(child := value.get("child"), dict):
        return f"{_name(value)} / {_name(child)}"
    if isinstance(value, dict) and isinstance(kind := value.get("requestType"), dict):
        return _name(kind)
    return _name(value) or _unnamed(value)


def _unnamed(value: Any) -> Any:
    """What stands for a thing without a name: a customer's rating, or the id of an asset or a service."""
    found = (_inner(value, key) for key in ("rating", "objectId", "id"))
    return next((one for one in found if isinstance(one, str | int)), "")


def _simple_text(text: str) -> str:
    if _MOMENT.fullmatch(text):
        return _time(text)
    return _sprint(text) if text.startswith(_SPRINT) else _text(text)


def _sprint(text: str) -> str:
    """Its name out of `…Sprint@1f39a2[id=7,state=ACTIVE,name=Sprint 7,startDate=…]`."""
    name = text.partition(",name=")[2]
    for following in ("startDate", "goal", "endDate", "completeDate", "sequence"):
        name = name.partition(f",{following}=")[0]
    return name.strip()
