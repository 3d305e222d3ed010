"""Examples for the API's description, in the form in which the demo's data comes."""

from typing import Any

import orjson

_DATASET_ID = "550e8400-e29b-41d4-a716-446655440000"
_INCIDENT_ID = "1c741bd7-0b22-8b5f-9d2e-5f0c3c6e9d5a"
_RUN_ID = "0b9f4d5e-3c5a-4f43-9d0c-0a6e6a3f6a11"

DATASET: dict[str, Any] = {
    "integration_id": _DATASET_ID,
    "integration_deleted": False,
    "service_name": "ServiceNow",
    "head": 3,
    "documents": 18,
    "tombstones": 1,
    "verdict": {"state": "complete", "source": 18, "stored": 18, "rejected": 0, "hidden": 0, "why": None, "ids": None},
}

EMBEDDED: dict[str, Any] = {"model": "all-MiniLM-L6-v2", "answers": True, "embedded": 17, "refused": 0, "of": 18}

VERSION: dict[str, Any] = {
    "number": 3,
    "state": "published",
    "kind": "sync",
    "run_id": _RUN_ID,
    "parent": 2,
    "source_version": None,
    "added": 1,
    "updated": 2,
    "deleted": 1,
    "documents": 18,
    "created_at": "2026-03-01T10:29:52Z",
    "published_at": "2026-03-01T10:30:00Z",
    "note": None,
}

INCIDENT: dict[str, Any] = {
    "id": _INCIDENT_ID,
    "number": "INC0010023",
    "external_id": "9d385017c611228701d22104cc95c371",
    "integration_id": _DATASET_ID,
    "title": "VPN drops every few minutes since the client update",
    "text": "Since this morning's update of the VPN client the connection drops every few minutes.",
    "notes": [
        {
            "at": "2026-03-01T09:58:10Z",
            "author": "Beth Anglin",
            "kind": "work_notes",
            "text": "Rolled the client back on one laptop: stable since.",
        }
    ],
    "attributes": {"state": "In Progress", "state_code": "2", "priority": "2 - High", "category": "network"},
    "url": "https://dev12345.service-now.com/incident.do?sys_id=9d385017c611228701d22104cc95c371",
    "source_updated_at": "2026-03-01T09:58:10Z",
    "synced_at": "2026-03-01T10:30:00Z",
    "version": 3,
    "change": "updated",
    "changed_in": 3,
}

HISTORY: dict[str, Any] = {
    "success": True,
    "id": _INCIDENT_ID,
    "version": 3,
    "history": [
        {
            "version": 3,
            "at": "2026-03-01T10:30:00Z",
            "kind": "sync",
            "change": "updated",
            "reason": None,
            "number": "INC0010023",
            "title": "VPN drops every few minutes since the client update",
            "source_updated_at": "2026-03-01T09:58:10Z",
            "fields": ["notes", "attributes.state", "attributes.state_code"],
        },
        {
            "version": 1,
            "at": "2026-03-01T08:00:00Z",
            "kind": "sync",
            "change": "added",
            "reason": None,
            "number": "INC0010023",
            "title": "VPN drops every few minutes since the client update",
            "source_updated_at": "2026-03-01T07:41:33Z",
            "fields": [],
        },
    ],
    "next_cursor": None,
}

DIFF: dict[str, Any] = {
    "success": True,
    "base": 2,
    "version": 3,
    "counts": {"added": 1, "changed": 2, "removed": 1},
    "matching": 1,
    "changes": [
        {
            "number": "INC0010023",
            "id": _INCIDENT_ID,
            "change": "changed",
            "reason": None,
            "title": "VPN drops every few minutes since the client update",
            "fields": [{"field": "attributes.state", "before": "New", "after": "In Progress"}],
        }
    ],
    "next_cursor": None,
}

PURGED: dict[str, Any] = {
    "success": True,
    "message": "The incident is removed from every version",
    "purged": {
        "id": _INCIDENT_ID,
        "integration_id": _DATASET_ID,
        "revisions": 3,
        "contents": 3,
        "raw_records": 1,
        "rejected_records": 0,
    },
}

EXPORT_LINE = orjson.dumps(INCIDENT).decode() + "\n"

EXPORT_CSV = (
    "number,id,external_id,title,text,url,source_updated_at,synced_at,version,change,changed_in,attributes.state,"
    "other_attributes,notes\r\n"
    f"INC0010023,{_INCIDENT_ID},9d385017c611228701d22104cc95c371,VPN drops,'=cmd in the first line,,"
    "2026-03-01T09:58:10Z,2026-03-01T10:30:00Z,3,updated,3,In Progress,,\r\n"
)

SEVERAL = (
    "INC0010023 is in several datasets: 550e8400-e29b-41d4-a716-446655440000 (ServiceNow), "
    "6f1d7a52-93c4-4d0e-8a6f-2f6c1f0e9b11 (ServiceNow EU). Name one with ?integration="
)
