"""Nulls in the examples of a description. FastAPI leaves every null out of it, also where one stands in an example."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def put_nulls_back(description: Json) -> None:
    """Completes each example by its schema: what an answer always has, and may be null, is null where it is missing."""
    schemas: Json = description["components"]["schemas"]
    for place, schema in _places(description):
        if "example" in place:
            place["example"] = _completed(place["example"], schema, schemas)
        examples = place.get("examples", ())
        if isinstance(examples, list):
            place["examples"] = [_completed(example, schema, schemas) for example in examples]
        else:
            for named in examples and examples.values():
                named["value"] = _completed(named["value"], schema, schemas)


def _places(description: Json) -> Iterator[tuple[Json, Json]]:
    """What may hold examples, and the schema that they are of."""
    for schema in description["components"]["schemas"].values():
        yield schema, schema
    for operation in (operation for item in description["paths"].values() for operation in item.values()):
        for message in (operation.get("requestBody", {}), *operation["responses"].values()):
            for content in message.get("content", {}).values():
                yield content, content.get("schema", {})


def _completed(value: Any, schema: Json, schemas: Json) -> Any:
    if isinstance(value, list):
        items = _shape("array", schema, schemas).get("items", {})
        return [_completed(item, items, schemas) for item in value]
    if not isinstance(value, dict):
        return value
    schema = _shape("object", schema, schemas)
    required = schema.get("required", ())
    known = {
        name: _completed(value.get(name), part, schemas)
        for name, part in schema.get("properties", {}).items()
        if name in value or (name in required and {"type": "null"} in part.get("anyOf", ()))
    }
    return known | {name: part for name, part in value.items() if name not in known}


def _shape(kind: str, schema: Json, schemas: Json) -> Json:
    """The schema without a reference, and of several the one of that kind."""
    for part in schema.get("anyOf", (schema,)):
        found: Json = schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if found.get("type") == kind:
            return found
    return {}
