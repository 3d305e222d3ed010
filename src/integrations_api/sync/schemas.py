"""Runs and events on the wire."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from integrations_api.api.envelope import Success, Timestamp
from integrations_api.connectors.records import Mode
from integrations_api.knowledge.documents import StagedRecord
from integrations_api.knowledge.examples import VERSION
from integrations_api.knowledge.schemas import VersionAnswer
from integrations_api.sync.models import SyncRun


class Verdict(BaseModel):
    """Whether the dataset holds what the source says it has, and what is missing."""

    state: Literal["complete", "short", "over", "unknown"]
    source: int | None = Field(description="How many records the source counts.")
    stored: int = Field(description="How many live documents the dataset holds under the same bound.")
    rejected: int
    hidden: int = Field(
        description="How many are not stored though no rejection and no later start (config.lastSynced) accounts for "
        "them: access rules hide them or, in an incremental sync, they were not read; `why` tells."
    )
    why: str | None
    ids: list[str] | None = Field(
        None,
        description="Only of a full sync with a gap: the source's own ids of what is missing or too much, as far as "
        "they are known (a record that was never shown has none); 100 at most.",
    )


class RunOnTheWire(BaseModel):
    """One execution of a sync."""

    id: UUID
    integration_id: UUID
    mode: Mode
    trigger: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled", "held"]
    phase: str
    attempt: int = Field(
        description="How often the run was begun: 0 while it waits for the first time, then 1, and one more each time "
        "that it is taken up again: after a crash, a handover, or when it was resumed."
    )
    requested_by: UUID | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    fetched: int
    added: int
    updated: int
    unchanged: int
    deleted: int
    rejected: int
    version: int | None = Field(description="The version it makes; null when nothing changed.")
    verdict: Verdict | None
    error: str | None
    remedy: str | None = Field(description="What an administrator can do about the error.")
    warnings: list[str]

    @classmethod
    def of(cls, run: SyncRun) -> "RunOnTheWire":
        """The run as it leaves the service; it keeps naming its integration after that was deleted."""
        facts: dict[str, Any] = {name: getattr(run, name) for name in cls.model_fields if name != "integration_id"}
        return cls(**facts, integration_id=run.dataset_id)


_RUN_EXAMPLE: dict[str, Any] = {
    "id": "0b8f6a5e-5b1e-4f0e-9a51-6f2f6a1f7c11",
    "integration_id": "550e8400-e29b-41d4-a716-446655440000",
    "mode": "incremental",
    "trigger": "manual",
    "state": "succeeded",
    "phase": "done",
    "attempt": 1,
    "requested_by": "123e4567-e89b-12d3-a456-426614174000",
    "created_at": "2026-03-01T11:44:58Z",
    "started_at": "2026-03-01T11:44:58Z",
    "finished_at": "2026-03-01T11:45:00Z",
    "fetched": 18,
    "added": 18,
    "updated": 0,
    "unchanged": 0,
    "deleted": 0,
    "rejected": 0,
    "version": 1,
    "verdict": {"state": "complete", "source": 18, "stored": 18, "rejected": 0, "hidden": 0, "why": None, "ids": None},
    "error": None,
    "remedy": None,
    "warnings": [],
}


_UNFINISHED: dict[str, Any] = {**_RUN_EXAMPLE, "phase": "fetching", "added": 0, "version": None, "verdict": None}
CANCELLED_RUN = {**_UNFINISHED, "state": "cancelled", "error": "Sync was cancelled by ada@example.com"}
RESUMED_RUN = {**_UNFINISHED, "state": "queued", "finished_at": None}


class RunAnswer(Success):
    """One run."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"success": True, "run": _RUN_EXAMPLE}]})

    run: RunOnTheWire


class RunsAnswer(Success):
    """Runs, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "runs": [_RUN_EXAMPLE], "next_cursor": None}]}
    )

    runs: list[RunOnTheWire]
    next_cursor: str | None


class RejectedOnTheWire(BaseModel):
    """A record that could not be mapped."""

    external_id: str
    number: str | None
    reason: str
    source_updated_at: Timestamp | None


class RejectedAnswer(Success):
    """Records of a run that could not be mapped, by external id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "rejected": [
                        {
                            "external_id": "9d385017c611228701d22104cc95c371",
                            "number": None,
                            "reason": "The record has no number",
                            "source_updated_at": "2026-03-01T10:30:00Z",
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    rejected: list[RejectedOnTheWire]
    next_cursor: str | None


class ProgressEvent(BaseModel):
    """`event: progress`. `totalIncidents` comes with the totals, `incidents` with each batch."""

    batch: int = Field(description="Number of the batch just committed; 0 before the first.")
    totalBatches: int = Field(description="0 until it is known.")  # noqa: N815 - the contract's name
    incidents: list[str] | None = Field(None, description="Numbers of the incidents in this batch.")
    totalIncidents: int | None = Field(None, description="New and changed incidents of this sync.")  # noqa: N815
    message: str


class Stats(BaseModel):
    """What a sync did."""

    added: int
    total: int
    last_synced: Timestamp | None = Field(description="null where the version is held: nothing has moved.")
    updated: int
    unchanged: int
    deleted: int
    rejected: int
    version: int | None
    verdict: Verdict | None = Field(description="null where the version is held.")


class CompleteEvent(BaseModel):
    """`event: complete`, the last one of a sync that went well."""

    success: Literal[True]
    integration: dict[str, Any]
    stats: Stats
    held: Literal[True] | None = Field(None, description="Only where the version waits for somebody's word.")
    message: str | None = Field(None, description="Only with `held`: what there is to decide, and where.")


class RemappedStats(BaseModel):
    """What mapping anew did."""

    added: int
    total: int
    updated: int
    version: int | None


class RemappedEvent(BaseModel):
    """`event: complete` of a run that reads nothing and only maps anew what is stored."""

    success: Literal[True]
    message: str
    stats: RemappedStats


class ErrorEvent(BaseModel):
    """`event: error`, the last one of a sync that failed or could not begin."""

    success: Literal[False]
    message: str


class TicketAnswer(Success):
    """A ticket for one run's events. It is shown once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"success": True, "ticket": "iat_pZ1d…", "expires_in": 60}]}
    )

    ticket: str
    expires_in: int = Field(description="Seconds within which it must first be used.")


class RollbackRequest(BaseModel):
    """Why a dataset is rolled back; it is kept with the version."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "Friday's import overwrote resolutions"}]}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class RollbackAnswer(VersionAnswer):
    """The version that was made, and what follows from it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "version": {
                    **VERSION,
                    "number": 4,
                    "kind": "rollback",
                    "run_id": None,
                    "parent": 3,
                    "source_version": 1,
                },
                "message": "Version 4 now equals version 1. The next sync reads everything from the source.",
            }
        }
    )

    message: str


class CheckOnTheWire(BaseModel):
    """One named check of a preflight."""

    name: str
    status: Literal["ok", "warning", "failed"]
    seen: str
    remedy: str | None = Field(description="What to do about it: which role or rule, in the source's own words.")


class ChecksAnswer(Success):
    """`success` says that the test ran; whether the source is fit is told by the checks."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "checks": [
                        {"name": "reachable", "status": "ok", "seen": "Answered in 180 ms", "remedy": None},
                        {
                            "name": "delete log",
                            "status": "warning",
                            "seen": "The delete log cannot be read: deletes are noticed by full syncs only",
                            "remedy": "Give the user a role that may read sys_audit_delete",
                        },
                    ],
                }
            ]
        }
    )

    checks: list[CheckOnTheWire]


class NoteOnTheWire(BaseModel):
    """A dated, authored remark."""

    at: str
    author: str
    kind: str
    text: str


class PreviewedIncident(BaseModel):
    """A record as it would be stored, or the reason why it would not be."""

    number: str | None
    external_id: str
    title: str | None
    text: str | None
    notes: list[NoteOnTheWire]
    attributes: dict[str, Any]
    url: str | None
    source_updated_at: Timestamp | None
    rejection: str | None

    @classmethod
    def of(cls, staged: StagedRecord) -> "PreviewedIncident":
        """Shapes a staged record."""
        document = staged.document
        return cls(
            number=document.number if document else staged.number,
            external_id=staged.source.external_id,
            title=document.title if document else None,
            text=document.text if document else None,
            notes=[NoteOnTheWire.model_validate(n, from_attributes=True) for n in document.notes] if document else [],
            attributes=dict(document.attributes) if document else {},
            url=document.url if document else None,
            source_updated_at=staged.source.updated_at,
            rejection=staged.rejection,
        )


class PreviewAnswer(Success):
    """What the next sync would read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "mode": "incremental",
                    "to_read": 1,
                    "notes": [],
                    "incidents": [
                        {
                            "number": "INC0010001",
                            "external_id": "9bc030dabd468446b0bab2142803aa77",
                            "title": "No address from DHCP on floor 3 at Osaka",
                            "text": "Laptops on floor 3 at Osaka get an address beginning with 169.254 and no network.",
                            "notes": [
                                {
                                    "at": "2025-01-26T07:34:17Z",
                                    "author": "Kavya Dubois",
                                    "kind": "work_notes",
                                    "text": "Scope has 45 leases, all taken; lease time is eight days.",
                                }
                            ],
                            "attributes": {"state": "Closed", "state_code": "7", "priority": "3 - Moderate"},
                            "url": "https://dev12345.service-now.com/incident.do?sys_id=9bc030dabd468446b0bab2142803aa77",
                            "source_updated_at": "2025-01-30T13:20:02Z",
                            "rejection": None,
                        }
                    ],
                }
            ]
        }
    )

    mode: Mode
    to_read: int | None = Field(description="Records the next sync would read; null where the source cannot count.")
    notes: list[str]
    incidents: list[PreviewedIncident]
