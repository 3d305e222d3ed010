"""From an issue to a document: a table of choices.

What changes without content is left out (updated_at, counts of comments and reactions), so that the content hash says
what a person would call a change. Another document for the same issue raises `MAPPING_VERSION` in `version.py`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from integrations_api.connectors.errors import RecordRejected, Refused
from integrations_api.connectors.github.walk import read_stamp
from integrations_api.connectors.records import JsonObject, MappedDocument, Note, SourceRecord
from integrations_api.connectors.text import one_line, trimmed

PRIORITIES = {1: "Critical", 2: "High", 3: "Medium", 4: "Low"}
_PRIORITY_WORDS = {
    **dict.fromkeys(("critical", "urgent", "blocker", "highest", "p0"), 1),
    **dict.fromkeys(("high", "important", "p1"), 2),
    **dict.fromkeys(("medium", "normal", "moderate", "p2"), 3),
    **dict.fromkeys(("low", "lowest", "minor", "trivial", "p3", "p4"), 4),
}
_ALONE = frozenset({"critical", "urgent", "blocker", "p0", "p1", "p2", "p3", "p4"})
"""Words that speak of a priority without saying so; "high" or "minor" alone could be about anything."""
_PREFIXES = {
    "priority": ("priority", "prio"),
    "category": ("type", "kind", "category"),
    "subcategory": ("area", "component", "module", "service"),
}
_KINDS = {"bug": "Bug", "enhancement": "Enhancement", "feature": "Feature", "documentation": "Documentation",
          "question": "Question", "incident": "Incident", "security": "Security", "task": "Task"}  # fmt: skip
"""Labels that name a kind of issue by themselves; most of them are GitHub's own."""

_STATES = {"open": "Open", "closed": "Closed"}
_REASONS = {"completed": "Completed", "not_planned": "Not planned", "duplicate": "Duplicate", "reopened": "Reopened"}
_REPOSITORY = re.compile(r"/repos/([^/]+/[^/]+)$")
_PAGE = re.compile(r"^https?://[^/]+/([^/]+/[^/]+)/issues/\d+")
_WEB_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_BOT = "[bot]"
GHOST = "ghost"
"""How GitHub itself calls an account that was deleted."""


def as_raw(issue: Mapping[str, Any], comments: Sequence[Mapping[str, Any]]) -> JsonObject:
    """What is stored of an issue: as it came, and its comments as they came."""
    return {"issue": issue, "comments": list(comments)}


def read_record(raw: JsonObject) -> SourceRecord:
    """An issue with the facts that the engine needs. Raises `RecordRejected` when it has no id."""
    issue = raw.get("issue")
    if not isinstance(issue, Mapping) or type(issue.get("id")) is not int:
        raise RecordRejected("The issue has no id")
    return SourceRecord(str(issue["id"]), _moment(issue.get("updated_at")), _moment(issue.get("created_at")), raw)


def _moment(value: Any) -> datetime | None:
    try:
        return read_stamp(value) if isinstance(value, str) else None
    except Refused:
        return None


def map_record(record: SourceRecord) -> MappedDocument:
    """The issue as it is kept. Raises `RecordRejected` when there is no number to call it by."""
    issue = record.raw["issue"]
    repository = repository_of(issue)
    if not repository or type(issue.get("number")) is not int:
        raise RecordRejected("The issue has no number or no repository")
    return MappedDocument(
        number=f"{repository}#{issue['number']}",
        title=one_line(_text(issue.get("title"))),
        text=_lines(_text(issue.get("body"))),
        notes=_notes(record.raw.get("comments") or ()),
        attributes=_attributes(issue, repository),
        url=_web_address(_text(issue.get("html_url"))),
    )


def repository_of(issue: Mapping[str, Any]) -> str:
    for pattern, value in ((_REPOSITORY, issue.get("repository_url")), (_PAGE, issue.get("html_url"))):
        if found := pattern.search(_text(value)):
            return found[1]
    return ""


def _notes(comments: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Newest first, as elsewhere; they come with the oldest first, also of one second."""
    notes = [
        Note(
            at=_text(comment.get("createdAt")),
            author=_login(comment.get("author")),
            kind="comment",
            text=_lines(_text(comment.get("body"))),
        )
        for comment in reversed(comments)
    ]
    return sorted(notes, key=lambda note: note.at, reverse=True)


def _attributes(issue: Mapping[str, Any], repository: str) -> JsonObject:
    labels = sorted(_names(issue.get("labels"), "name"))
    assignees = _names(issue.get("assignees"), "login")
    milestone = issue.get("milestone")
    milestone = milestone if isinstance(milestone, Mapping) else {}
    state, reason = _text(issue.get("state")), _text(issue.get("state_reason"))
    priority = priority_of(labels)
    found = {
        "state": _STATES.get(state, state.capitalize()),
        "state_code": state,
        "state_reason": _REASONS.get(reason, reason.replace("_", " ").capitalize()),
        "state_reason_code": reason,
        "priority": PRIORITIES[priority] if priority else "",
        "priority_code": str(priority or ""),
        "category": _kind_of(issue, labels),
        "subcategory": _prefixed(labels, "subcategory"),
        "assignment_group": repository,
        "repository": repository,
        "assigned_to": ", ".join(assignees),
        "assignees": assignees,
        "opened_by": _login(issue.get("user")),
        "labels": labels,
        "milestone": _text(milestone.get("title")),
        "due_at": _text(milestone.get("due_on")),
        "opened_at": _text(issue.get("created_at")),
        "closed_at": _text(issue.get("closed_at")),
        "locked": True if issue.get("locked") is True else "",
        "lock_reason": _text(issue.get("active_lock_reason")),
    }
    return {name: value for name, value in found.items() if value not in ("", [])}


def priority_of(labels: Sequence[str]) -> int | None:
    """The most urgent priority that the labels name: 1 critical, 2 high, 3 medium, 4 low; None where none does.

    Counted are labels such as `priority: high`, `priority/high`, `prio-1`, `high priority`, `P0` to `P4`, `critical`,
    `urgent` and `blocker`; with P, 0 is the most urgent, as it is where people write P0 at all.
    """
    found = [level for label in labels if (level := _priority_in(label)) is not None]
    return min(found, default=None)


def _priority_in(label: str) -> int | None:
    words = re.findall(r"[a-z0-9]+", label.casefold())
    if len(words) == 1:
        return _PRIORITY_WORDS[words[0]] if words[0] in _ALONE else None
    if not set(words) & set(_PREFIXES["priority"]):
        return None
    for word in words:
        if word in _PRIORITY_WORDS:
            return _PRIORITY_WORDS[word]
        if word in {"1", "2", "3", "4"}:
            return int(word)
    return None


def _kind_of(issue: Mapping[str, Any], labels: Sequence[str]) -> str:
    """GitHub's own issue type; else a label such as `type: bug` or `kind/bug`; else one that is a kind by itself."""
    kind = issue.get("type")
    if isinstance(kind, Mapping) and (name := _text(kind.get("name"))):
        return name
    if named := _prefixed(labels, "category"):
        return _KINDS.get(named.casefold(), named)
    return next((_KINDS[label.casefold()] for label in labels if label.casefold() in _KINDS), "")


def _prefixed(labels: Sequence[str], what: str) -> str:
    """What stands behind the prefix in the first label that has one: `area/network` is `network`."""
    for label in labels:
        prefix, *rest = re.split(r"[:/]", label, maxsplit=1)
        if rest and prefix.casefold().strip() in _PREFIXES[what] and rest[0].strip():
            return rest[0].strip()
    return ""


def _names(values: Any, key: str) -> list[str]:
    """Labels may come as objects or as bare texts."""
    listed = values if isinstance(values, list) else []
    found = [value.get(key) if isinstance(value, Mapping) else value for value in listed]
    return [name for name in found if isinstance(name, str) and name]


def _web_address(text: str) -> str | None:
    """Where people read the issue; None for `javascript:` and its like, which a browser runs instead of opening it."""
    return text if _WEB_ADDRESS.match(text) else None


def _login(user: Any) -> str:
    """An application is called as in the REST API, where it cannot be taken for a person: `dependabot[bot]`."""
    login = _text(user.get("login")) if isinstance(user, Mapping) else ""
    if not login:
        return GHOST
    return f"{login}{_BOT}" if user.get("__typename") == "Bot" and not login.endswith(_BOT) else login


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _lines(text: str) -> str:
    return trimmed(text.replace("\r\n", "\n").replace("\r", "\n"))
