"""The description of the API shows what each route is sent and answers."""

from typing import Any

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
