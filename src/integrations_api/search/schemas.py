"""What searching says on the wire. Answers are built by `presenting`; these models document them."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from integrations_api.api.envelope import Success, Timestamp
from integrations_api.api.pagination import MAX_LIMIT
from integrations_api.knowledge.cursors import NEWEST_VERSION
from integrations_api.knowledge.examples import INCIDENT

HIT: dict[str, Any] = {
    "number": INCIDENT["number"],
    "id": INCIDENT["id"],
    "integration_id": INCIDENT["integration_id"],
    "title": INCIDENT["title"],
    "snippet": "update of the <mark>VPN</mark> client the connection <mark>drops</mark> every few minutes",
    "score": 7.4192,
    "why": ["drops", "vpn"],
    "attributes": INCIDENT["attributes"],
    "resolution": "Rolled the client back to the version before.",
    "version": 3,
    "url": INCIDENT["url"],
    "source_updated_at": INCIDENT["source_updated_at"],
    "synced_at": INCIDENT["synced_at"],
    "is_deleted": False,
}


class Hit(BaseModel):
    """An incident that was found, with all that is needed to cite it."""

    number: str
    id: UUID
    integration_id: UUID
    title: str
    snippet: str = Field(description="HTML: the text is escaped, found words stand in `<mark>`.")
    score: float = Field(description="Greater is better; comparable within one answer only.")
    why: list[str] = Field(
        description="What it was found by: its number, `semantic` where it lies near in meaning, and the query's "
        "words, the most telling first."
    )
    attributes: dict[str, Any]
    resolution: str | None = Field(description="How it was resolved, where that is known.")
    version: int = Field(description="The version that answered.")
    url: str | None
    source_updated_at: Timestamp | None
    synced_at: Timestamp | None
    is_deleted: bool = Field(description="Gone at the source; only with `include=tombstones`.")


class HitsAnswer(Success):
    """Hits, best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "ranking": "lexical",
                "matching": "all",
                "version": 3,
                "message": None,
                "hits": [HIT],
                "next_cursor": None,
            }
        }
    )

    ranking: Literal["lexical", "hybrid"] = Field(
        description="By words alone, or by words and meaning: the latter where an embedding service is set up, has "
        "embedded the incidents and answers in time, and the query has no operators."
    )
    matching: Literal["all", "some"] = Field(description="Whether hits have all that was asked for, or some of it.")
    version: int | None = Field(description="The version that answered, of one dataset; null where several did.")
    message: str | None = Field(description="Why there is nothing, where the query itself is the reason.")
    hits: list[Hit]
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")


class SimilarRequest(BaseModel):
    """The text of a new incident."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "text": "VPN drops\nSince the update of the client the connection drops every few minutes.",
                "integration": None,
                "limit": 10,
            }
        },
    )

    text: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1),
        Field(description="A short first line with more below it counts as the title. 60,000 characters are read."),
    ]
    integration: UUID | None = Field(None, description="Only in the dataset of this integration.")
    version: int | None = Field(
        None, ge=1, le=NEWEST_VERSION, description="The version that is to answer; by default the head."
    )
    limit: int = Field(10, ge=1, le=MAX_LIMIT, description="Most hits in the answer, of which there are 100 at most.")
