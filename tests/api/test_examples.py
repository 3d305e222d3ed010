"""The description of the API shows what each route is sent and answers."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from tests.support.applications import bare_app

FORM = "application/x-www-form-urlencoded"
"""Swagger UI's own sign-in dialogue fills the OAuth2 password form."""


def _is_shown(content: dict[str, Any], schemas: dict[str, Any]) -> bool:
    reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = schemas.get(reference, {})
    return any(name in place for place in (content, schema) for name in ("example", "examples"))


def test_every_route_has_words_and_examples() -> None:
    description = bare_app().openapi()
    schemas = description["components"]["schemas"]
    lacking = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            shown = [operation["responses"][code] for code in operation["responses"] if code.startswith("2")]
            contents = [one for answer in shown for one in answer.get("content", {}).values()]
            sent = operation.get("requestBody", {}).get("content", {})
            contents += [one for kind, one in sent.items() if kind != FORM]
            if not operation.get("summary") or not operation.get("description") or "x-permission" not in operation:
                lacking.append(f"{method} {path}: words")
            if not all(_is_shown(content, schemas) for content in contents):
                lacking.append(f"{method} {path}: examples")

    assert lacking == []


def _examples(description: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each example of a body, with where it stands and the schema that it is of."""
    for name, schema in description["components"]["schemas"].items():
        yield from ((name, example, schema) for example in _of(schema))
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"].items()
            for what, message in [("body", operation.get("requestBody", {})), *answers]:
                content = message.get("content", {}).get("application/json", {})
                yield from ((f"{method} {path} {what}", example, content["schema"]) for example in _of(content))


def _of(place: dict[str, Any]) -> Iterator[Any]:
    if "example" in place:
        yield place["example"]
    examples = place.get("examples", [])
    yield from examples if isinstance(examples, list) else (one["value"] for one in examples.values())


def test_every_example_is_what_its_schema_says_nulls_included() -> None:
    description = bare_app().openapi()
    examples = list(_examples(description))

    wrong = [
        f"{where}: {problem.message}"
        for where, example, schema in examples
        for problem in jsonschema_rs.Draft202012Validator(
            {**schema, "components": description["components"]}, validate_formats=True
        ).iter_errors(example)
    ]

    assert len(examples) > 300
    assert wrong == []


def test_every_example_of_lines_of_json_is_lines_of_json() -> None:
    answers = [
        answer["content"]["application/x-ndjson"]["example"]
        for operations in bare_app().openapi()["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        if "application/x-ndjson" in answer.get("content", {})
    ]

    assert [set(json.loads(line)) & {"id"} for answer in answers for line in answer.splitlines()] == [{"id"}, {"id"}]
