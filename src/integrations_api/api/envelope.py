"""The envelope of every JSON answer.

Shapes alone: services import this, so that a worker goes without FastAPI and Starlette.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from integrations_api.clock import to_wire

Timestamp = Annotated[
    datetime,
    PlainSerializer(to_wire, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-01T10:30:00Z"]}),
]
"""A time as it leaves the service: UTC, whole seconds, with a Z. Use `Timestamp | None` where there may be none."""


class Success(BaseModel):
    """Base of every answer that went well; `success` is its first field."""

    success: Literal[True] = True


class SuccessMessage(Success):
    """A success that is told in a sentence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"success": True, "message": "Version 3 was discarded"}]})

    message: str


class FieldError(BaseModel):
    """One wrong field, by its dotted path; never with its value."""

    field: str
    message: str


class ErrorEnvelope(BaseModel):
    """Every error: what happened in words; `errors` lists wrong fields, `request_id` names an unexpected failure."""

    success: Literal[False] = False
    message: str
    errors: list[FieldError] | None = None
    request_id: str | None = None
