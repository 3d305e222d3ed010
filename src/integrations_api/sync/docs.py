"""What OpenAPI says about the event stream."""

from typing import Any

from pydantic import BaseModel

from integrations_api.sync.schemas import CompleteEvent, ErrorEvent, ProgressEvent, RemappedEvent

_RUN = "0b8f6a5e-5b1e-4f0e-9a51-6f2f6a1f7c11"
EXAMPLE = (
    f"id: {_RUN}:1\nevent: progress\n"
    'data: {"batch":0,"totalBatches":0,"message":"Fetching incidents from ServiceNow..."}\n\n'
    f"id: {_RUN}:2\nevent: progress\n"
    'data: {"batch":0,"totalBatches":1,"totalIncidents":2,"message":"Ingesting 2 incidents in 1 batch(es)..."}\n\n'
    f"id: {_RUN}:3\nevent: progress\n"
    'data: {"batch":1,"totalBatches":1,"incidents":["INC001","INC002"],"totalIncidents":2,'
    '"message":"Batch 1 of 1 processed (2 incidents)"}\n\n'
    f"id: {_RUN}:4\nevent: complete\n"
    'data: {"success":true,"integration":{"id":"550e8400-e29b-41d4-a716-446655440000", …},'
    '"stats":{"added":2,"total":2,"last_synced":"2026-03-01T11:45:00Z", …}}\n\n'
)


def _inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's schema without references: a response has no place of its own for definitions."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return resolve(definitions[part["$ref"].rsplit("/", 1)[1]])
            # Nothing is said of a default that is null: FastAPI does not either.
            return {key: resolve(value) for key, value in part.items() if value is not None}
        return [resolve(one) for one in part] if isinstance(part, list) else part

    resolved: dict[str, Any] = resolve(schema)
    return resolved


def _event(name: str, *models: type[BaseModel]) -> dict[str, Any]:
    """An event of one name, whose `data` is JSON of one of these shapes."""
    shapes = [_inlined(model) for model in models]
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": shapes[0] if len(shapes) == 1 else {"anyOf": shapes},
    }
    fields = {"event": {"const": name}, "data": data, "id": {"type": "string"}, "retry": {"type": "integer"}}
    return {"title": name, "type": "object", "required": ["event", "data"], "properties": fields}


def event_schema() -> dict[str, Any]:
    """Any one event. Made when the description is asked for, not at every start."""
    return {
        "oneOf": [
            _event("progress", ProgressEvent),
            _event("complete", CompleteEvent, RemappedEvent),
            _event("error", ErrorEvent),
        ]
    }


STREAM: dict[str, Any] = {
    "description": "Server-Sent Events: `progress` as often as there is news, then one `complete` or `error`, "
    "which ends the stream. Each event of a run has an `id` (`<run id>:<number>`) to resume from; an `error` that "
    "tells that none was begun has not. Comments keep the stream open.",
    "content": {"text/event-stream": {"example": EXAMPLE}},
}

WATCHED: dict[int | str, dict[str, Any]] = {
    200: STREAM,
    204: {"description": "The run is over and every event was seen: an EventSource stops reconnecting."},
}

TOO_MANY = "You have 2000 event streams open here, as many as STREAMS_PER_USER allows; close some: wait 15 seconds"
