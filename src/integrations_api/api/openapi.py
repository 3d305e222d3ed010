"""What routers say about their errors, and what the description says about permissions."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from integrations_api.api.envelope import ErrorEnvelope
from integrations_api.api.openapi_examples import put_nulls_back
from integrations_api.api.routes import AccessRule, access_rules, all_routes

_EXAMPLES: dict[int, tuple[str, dict[str, Any]]] = {
    401: ("No credentials, or none that are valid.", {"message": "Sign in first: send Authorization: Bearer <token>"}),
    403: ("The permission is missing.", {"message": "Missing permission: integration.edit"}),
    404: ("There is no such thing.", {"message": "Integration not found"}),
    409: ("The present state forbids it.", {"message": "A sync of this integration is running"}),
    412: (
        "It was changed by somebody else in the meantime.",
        {"message": "The integration was changed in the meantime: read it again"},
    ),
    413: ("The body is too large.", {"message": "The request body is larger than 1000000 bytes"}),
    414: ("The query is too long.", {"message": "The query is longer than 16384 bytes"}),
    415: (
        "The body is in another type than the route reads.",
        {"message": "Send uncompressed JSON with Content-Type: application/json"},
    ),
    422: (
        "The input is malformed; `message` names the first wrong field, `errors` lists all.",
        {"message": "limit: must be at most 1000", "errors": [{"field": "limit", "message": "must be at most 1000"}]},
    ),
    431: ("The headers are too long, or too many.", {"message": "The headers are longer than 32768 bytes"}),
    429: (
        "Too much at once; `Retry-After` says when to come back.",
        {"message": "Too many requests of this kind: wait 3 seconds"},
    ),
    500: (
        "A defect; the log tells more under the `request_id`.",
        {"message": "Something went wrong on our side", "request_id": "5f0c3c6e9d5a4f1c8d0f4d3b0a6d2c11"},
    ),
    503: (
        "Something this service needs is away; try again.",
        {"message": "The database does not answer; try again soon"},
    ),
}

_SCHEMAS = "#/components/schemas/"
_ENVELOPE = {"$ref": f"{_SCHEMAS}{ErrorEnvelope.__name__}"}

_LOCATION = {"description": "Where the new thing is.", "required": True, "schema": {"type": "string"}}
_ANYWHERE = {"413": "BodyTooLarge", "414": "QueryTooLong", "422": "Malformed", "431": "HeadersTooLong"}
"""What is answered before a route is asked, whichever it is; a 422 there is about the URL itself."""
_WRONG_URL = "The URL must not contain NUL characters"


def errors(*statuses: int, **messages: str) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: each error status, with the envelope and an example; 500 and 503 are always there.

    `errors(401, 404, m404="Integration not found")` puts that message into the example of the 404. That of a 403 names
    the route's permission by itself, that of a 422 one of its fields.
    """
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 500, 503}):
        described[status] = _described(status, messages.get(f"m{status}"))
    return described


def answers(status: int, example: dict[str, Any], *failures: int, **messages: str) -> dict[int | str, dict[str, Any]]:
    """`errors`, and before them the good answer's own example, where that of its model would tell of another route."""
    good = {"content": {"application/json": {"example": {"success": True, **example}}}}
    return {status: good, **errors(*failures, **messages)}


def _described(status: int, message: str | None = None) -> dict[str, Any]:
    description, example = _EXAMPLES[status]
    if message is not None:
        example = _example_of(message, tells_fields=status == 422)
    response: dict[str, Any] = {
        "description": description,
        # Named, not given as `model`: FastAPI would build it anew for each error of each route, at every start.
        "content": {"application/json": {"schema": _ENVELOPE, "example": {"success": False, **example}}},
    }
    if status in {429, 503}:
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response


def _example_of(message: str, *, tells_fields: bool) -> dict[str, Any]:
    """A route's own words; where they name a field (`config.url: is required`), `errors` lists it."""
    field, colon, words = message.partition(": ")
    if not tells_fields or not colon or " " in field:
        return {"message": message}
    return {"message": message, "errors": [{"field": field, "message": words}]}


def install_openapi(app: FastAPI, *, event_schema: Callable[[], dict[str, Any]]) -> None:
    """`/openapi.json` also tells each operation's permission, in words and as `x-permission`, shows malformed input as
    we answer it, not as FastAPI would, and describes a stream by the schema of its events."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_permissions(app)
            put_nulls_back(app.openapi_schema)
            _describe_streams_by_their_events(app.openapi_schema, event_schema())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_permissions(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    for context in all_routes(app.routes):
        dependant = getattr(context, "dependant", None)
        if dependant is None:
            continue
        for method in context.methods or ():
            operation = schema["paths"].get(context.path_format, {}).get(method.lower())
            rule = next(access_rules(dependant), None)
            if operation is not None and rule is not None:
                _tell(operation, rule)
    _tell_the_envelope(schema)
    _tell_what_is_malformed(schema)
    _tell_what_any_route_answers(schema)
    return schema


def _tell_the_envelope(schema: dict[str, Any]) -> None:
    envelope = ErrorEnvelope.model_json_schema(mode="serialization", ref_template=f"{_SCHEMAS}{{model}}")
    schemas = schema["components"]["schemas"]
    schemas |= {**envelope.pop("$defs"), ErrorEnvelope.__name__: envelope}
    # What has a default is taken for something that may be missing; this never is.
    for one in (one for one in schemas.values() if "success" in one.get("properties", {})):
        one["required"] = list(dict.fromkeys(["success", *one.get("required", ())]))


def _describe_streams_by_their_events(schema: dict[str, Any], event: dict[str, Any]) -> None:
    """FastAPI calls a stream a string; read by OpenAPI 3.2 that would be wrong, for a stream is its events. Older
    readers pass over it."""
    for operation in (operation for item in schema["paths"].values() for operation in item.values()):
        for answer in operation["responses"].values():
            content = answer.get("content", {})
            if "text/event-stream" in content:
                content["text/event-stream"].pop("schema", None)
                content["text/event-stream"]["itemSchema"] = event


def _tell_what_any_route_answers(schema: dict[str, Any]) -> None:
    words = {"422": _WRONG_URL}
    schema["components"]["responses"] = {
        name: _described(int(status), words.get(status)) for status, name in _ANYWHERE.items()
    }
    for operation in (operation for item in schema["paths"].values() for operation in item.values()):
        if "201" in operation["responses"]:
            operation["responses"]["201"]["headers"] = {"Location": _LOCATION}
        for status, name in _ANYWHERE.items():
            operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})


def _tell_what_is_malformed(schema: dict[str, Any]) -> None:
    """Where a route has no words of its own for that: FastAPI's answer, which is not ours, and our example for all."""
    for operation in (operation for item in schema["paths"].values() for operation in item.values()):
        told = str(operation["responses"].get("422"))
        if "HTTPValidationError" in told or _EXAMPLES[422][1]["message"] in told:
            operation["responses"]["422"] = _described(422, _wrong_input(operation, schema["components"]["schemas"]))
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)


def _wrong_input(operation: dict[str, Any], schemas: dict[str, Any]) -> str | None:
    """What can be wrong with a request of this kind; None where the example for all says it."""
    formats = {one["name"]: one["schema"].get("format") for one in operation.get("parameters", ())}
    if "limit" in formats:
        return None
    content: dict[str, Any] = next(iter(operation.get("requestBody", {}).get("content", {}).values()), {})
    body = schemas.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
    wrong = [f"{name}: is required" for name in body.get("required", ())]
    wrong += [f"{name}: must be a UUID" for name, kind in formats.items() if kind == "uuid"]
    return [*wrong, _WRONG_URL][0]


def _tell(operation: dict[str, Any], rule: AccessRule) -> None:
    words = f"Required permission: `{rule.permission}`" if rule.permission else "Any signed-in user."
    words = rule.words or words
    if rule.public:
        words = "Public: needs no credentials."
    operation["description"] = f"{operation.get('description', '')}\n\n{words}".strip()
    operation["x-permission"] = "public" if rule.public else rule.permission
    denied = operation["responses"].get("403", {}).get("content", {}).get("application/json", {}).get("example")
    if rule.permission and denied and denied["message"] == _EXAMPLES[403][1]["message"]:
        denied["message"] = f"Missing permission: {rule.permission}"
