"""What the knowledge room says on the wire. Answers are built by `presenting`; these models document them."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from integrations_api.api.envelope import Success, Timestamp
from integrations_api.knowledge import examples

NextCursor = Annotated[str | None, Field(description="`cursor` of the next page; null at the end.")]
State = Annotated[
    Literal["building", "published", "held"],
    Field(description="Of the version that answered; what is being built, or held for an admin's word, may go again."),
]


class Dataset(BaseModel):
    """All knowledge of one integration."""

    integration_id: UUID
    integration_deleted: bool = Field(description="The dataset outlives its integration.")
    service_name: str
    head: int | None = Field(description="The version that readers see; null before the first.")
    documents: int = Field(description="Incidents in the head.")
    tombstones: int = Field(description="Incidents that were in it once and are gone at the source.")
    verdict: dict[str, Any] | None = Field(
        description="Of the last run: how the source's count and ours compare. After a rollback it is unknown."
    )


class Embedded(BaseModel):
    """How far the texts of the head have been embedded, so that search also finds by meaning."""

    model: str = Field(description="The model that is being filled, or else the one that answers.")
    answers: bool = Field(description="Whether searches use this model; while it is filled, the one before answers.")
    embedded: int = Field(description="Incidents whose text has a vector.")
    refused: int = Field(description="Incidents whose text the embedding service does not take.")
    of: int = Field(description="Incidents in the head.")


class DatasetDetail(Dataset):
    """A dataset, and how far it is embedded."""

    embedded: Embedded | None = Field(description="null where no embedding service was ever set up.")


class DatasetsAnswer(Success):
    """All datasets, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"success": True, "datasets": [examples.DATASET]}})

    datasets: list[Dataset]


class DatasetAnswer(Success):
    """One dataset."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"success": True, "dataset": {**examples.DATASET, "embedded": examples.EMBEDDED}}}
    )

    message: str | None = Field(None, description="Only before anything is published: what to do.")
    dataset: DatasetDetail


class Version(BaseModel):
    """A numbered state of a dataset; once published it never changes."""

    number: int
    state: Literal["building", "published", "held"]
    kind: Literal["sync", "rollback", "remap"]
    run_id: UUID | None = Field(description="The run that made it.")
    parent: int | None = Field(description="The version it was built upon.")
    source_version: int | None = Field(description="Of a rollback: the version it equals.")
    added: int
    updated: int
    deleted: int
    documents: int = Field(description="Incidents in it, counted when it is published.")
    created_at: Timestamp
    published_at: Timestamp | None
    note: str | None


class VersionsAnswer(Success):
    """Versions, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"success": True, "versions": [examples.VERSION], "next_cursor": None}}
    )

    versions: list[Version]
    next_cursor: NextCursor


class VersionAnswer(Success):
    """One version."""

    model_config = ConfigDict(json_schema_extra={"example": {"success": True, "version": examples.VERSION}})

    version: Version


class Note(BaseModel):
    """A dated, authored remark."""

    at: str
    author: str
    kind: str
    text: str


class Incident(BaseModel):
    """An incident as one version has it."""

    id: UUID = Field(description="Stable: the same in every version.")
    number: str
    external_id: str = Field(description="The source's own id (ServiceNow's sys_id).")
    integration_id: UUID
    title: str
    text: str
    notes: list[Note]
    attributes: dict[str, Any] = Field(description="The source's fields by name; codes stand beside labels.")
    url: str | None
    source_updated_at: Timestamp | None = Field(description="The source's stamp of the state last read.")
    synced_at: Timestamp | None = Field(description="When the version that last read a new stamp was published.")
    version: int = Field(description="The version that answered.")
    change: Literal["added", "updated", "deleted"] = Field(description="What last changed the content.")
    changed_in: int = Field(description="The version that did.")
    reason: str | None = Field(None, description="Only of a deleted incident: why it is gone.")


class IncidentsAnswer(Success):
    """Incidents of a version by number, ascending."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "version": 3,
                "state": "published",
                "incidents": [examples.INCIDENT],
                "next_cursor": None,
            }
        }
    )

    version: int
    state: State
    incidents: list[Incident]
    next_cursor: NextCursor


class IncidentAnswer(Success):
    """One incident."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"success": True, "state": "published", "incident": examples.INCIDENT}}
    )

    state: State
    incident: Incident


class HistoryEntry(BaseModel):
    """A change of an incident's content."""

    version: int
    at: Timestamp | None = Field(description="When that version was published (or begun, while it is built).")
    kind: Literal["sync", "rollback", "remap"] = Field(
        description="Of that version: whether the source, an administrator or a new mapping made the change."
    )
    change: Literal["added", "updated", "deleted"]
    reason: str | None
    number: str
    title: str
    source_updated_at: Timestamp | None
    fields: list[str] = Field(description="Fields that differ from the entry before, such as `attributes.state`.")


class HistoryAnswer(Success):
    """Content changes of one incident, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": examples.HISTORY})

    id: UUID
    version: int = Field(description="The version that answered.")
    history: list[HistoryEntry]
    next_cursor: NextCursor


class DiffCounts(BaseModel):
    """Incidents that differ, whatever the filters."""

    added: int
    changed: int
    removed: int


class Segment(BaseModel):
    """A piece of a text: equal and delete make up the text before, equal and insert the text after."""

    op: Literal["equal", "insert", "delete"]
    text: str


class FieldDifference(BaseModel):
    """A field before and after; an attribute that is not there is null."""

    field: str
    before: Any
    after: Any
    segments: list[Segment] | None = Field(None, description="Only of long texts: the difference word by word.")


class IncidentDifference(BaseModel):
    """An incident that reads differently in the two versions."""

    number: str
    id: UUID
    change: Literal["added", "changed", "removed"]
    reason: str | None = Field(description="Of a removed one, where its tombstone gives it.")
    title: str
    fields: list[FieldDifference] = Field(description="Of a changed one.")


class DiffAnswer(Success):
    """How `version` differs from `base`, by number."""

    model_config = ConfigDict(json_schema_extra={"example": examples.DIFF})

    base: int
    version: int
    counts: DiffCounts
    matching: int = Field(description="Incidents that pass the filters.")
    changes: list[IncidentDifference]
    next_cursor: NextCursor


class PurgeRequest(BaseModel):
    """Why an incident is removed for good; it is kept in the audit, so name no personal data in it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"reason": "Erasure request 2026-118 of the data protection officer"}},
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class PurgeCounts(BaseModel):
    """What was removed."""

    id: UUID
    integration_id: UUID
    revisions: int
    contents: int
    raw_records: int
    rejected_records: int = Field(description="Copies of it that could not be mapped.")


class PurgeAnswer(Success):
    """The incident is gone from every version."""

    model_config = ConfigDict(json_schema_extra={"example": examples.PURGED})

    message: str
    purged: PurgeCounts
