"""The description tells everything a client needs: permission, errors, examples."""

import re
from typing import Any

import pytest

from integrations_api.api.openapi import errors
from tests.support.applications import bare_app, client_of

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}


@pytest.fixture
def schema() -> dict[str, Any]:
    described: dict[str, Any] = bare_app().openapi()
    return described


def _operations(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_every_operation_has_a_summary_a_description_and_its_permission(schema: dict[str, Any]) -> None:
    operations = _operations(schema)

    assert operations
    for name, operation in operations:
        assert operation["summary"], name
        assert len(operation["description"]) > 40, name
        assert "x-permission" in operation, name


def test_every_parameter_is_told_in_words(schema: dict[str, Any]) -> None:
    silent = [
        f"{name}: {parameter['name']}"
        for name, operation in _operations(schema)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]

    assert silent == []


def test_every_documented_error_is_an_envelope_with_an_example(schema: dict[str, Any]) -> None:
    for name, operation in _operations(schema):
        shared = schema["components"]["responses"]
        wrong = {
            status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
            for status, answer in operation["responses"].items()
            if status >= "400"
        }
        assert {"413", "414", "422", "431"} <= set(wrong), name
        for status, answer in wrong.items():
            if "text/html" in answer["content"]:
                assert name == "GET /integrations/oauth/callback"  # Nothing but a browser comes there.
                continue
            content = answer["content"]["application/json"]
            assert content["schema"]["$ref"].endswith(("ErrorEnvelope", "Readiness")), (name, status)


def test_the_example_of_a_stream_is_as_streams_are_on_the_wire(schema: dict[str, Any]) -> None:
    streams = [
        (name, content["text/event-stream"]["example"])
        for name, operation in _operations(schema)
        if "text/event-stream" in (content := operation["responses"].get("200", {}).get("content", {}))
    ]

    assert len(streams) == 3
    for name, stream in streams:
        shown = [[line.partition(": ")[0] for line in event.split("\n")] for event in stream.split("\n\n")[:-1]]
        assert shown == [["id", "event", "data"]] * 4, name


def test_every_example_of_an_error_says_that_it_is_one(schema: dict[str, Any]) -> None:
    models = schema["components"]["schemas"]
    for name, operation in _operations(schema):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if status < "400" or content is None:
                continue
            model = models[content["schema"]["$ref"].rpartition("/")[2]]
            example = content.get("example") or next(iter(model.get("examples", [])), None)
            assert example, (name, status)
            assert example["success"] is False, (name, status)


def test_an_example_of_malformed_input_lists_the_field_that_its_message_names(schema: dict[str, Any]) -> None:
    for name, operation in _operations(schema):
        if "content" not in (answer := operation["responses"]["422"]):
            continue
        example = answer["content"]["application/json"]["example"]
        for problem in example.get("errors", [])[:1]:
            assert example["message"] == f"{problem['field']}: {problem['message']}", name


def test_an_example_of_malformed_input_names_what_the_operation_takes(schema: dict[str, Any]) -> None:
    described = [(name, one, one["responses"]["422"]) for name, one in _operations(schema)]
    wrong = [
        (name, problem["field"])
        for name, operation, answer in described
        if "content" in answer
        for problem in answer["content"]["application/json"]["example"].get("errors", [])
        if problem["field"].partition(".")[0] not in _taken(operation, schema["components"]["schemas"])
    ]

    assert wrong == []


def _taken(operation: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """Names of parameters and of a body's fields."""
    names = {parameter["name"] for parameter in operation.get("parameters", [])}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for part in content["schema"].get("anyOf", [content["schema"]]):
            names |= set(schemas.get(part.get("$ref", "").rpartition("/")[2], {}).get("properties", {}))
    return names


def test_an_example_of_a_denial_names_the_operations_own_permission(schema: dict[str, Any]) -> None:
    named = {
        name: (operation["responses"]["403"]["content"]["application/json"]["example"]["message"], permission)
        for name, operation in _operations(schema)
        if (permission := operation["x-permission"]) and "403" in operation["responses"]
    }
    wrong = {name for name, (message, permission) in named.items() if message != f"Missing permission: {permission}"}

    assert len(named) > 30
    assert wrong == {"POST /users"}  # Nobody gives what he has not himself.


def test_a_route_that_only_says_that_it_is_done_shows_its_own_words(schema: dict[str, Any]) -> None:
    shown = {}
    for name, operation in _operations(schema):
        content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
        if content.get("schema", {}).get("$ref", "").endswith("/SuccessMessage"):
            example = content.get("example") or schema["components"]["schemas"]["SuccessMessage"]["examples"][0]
            shown[name] = example["message"]

    assert shown == {
        "POST /auth/logout": "Signed out everywhere",
        "DELETE /auth/api-keys/{key_id}": "API key deleted successfully",
        "DELETE /users/{user_id}/api-keys/{key_id}": "API key deleted successfully",
        "DELETE /integrations/delete/{integration_id}": "Integration deleted successfully",
        "POST /knowledge/datasets/{integration_id}/versions/{n}/discard": "Version 3 was discarded",
    }


def test_a_route_that_reads_a_body_documents_that_it_asks_for_its_type(schema: dict[str, Any]) -> None:
    missing = [name for name, one in _operations(schema) if "requestBody" in one and "415" not in one["responses"]]

    assert missing == []


def test_a_route_that_takes_input_documents_our_422_and_not_fastapis(schema: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in schema["components"]["schemas"]


def test_no_answer_may_lack_the_word_whether_it_went_well(schema: dict[str, Any]) -> None:
    told = [one for one in schema["components"]["schemas"].values() if "success" in one.get("properties", {})]

    assert len(told) > 30
    assert all("success" in one["required"] for one in told)


def test_a_route_that_creates_documents_that_it_says_where(schema: dict[str, Any]) -> None:
    created = {name: one["responses"]["201"] for name, one in _operations(schema) if "201" in one["responses"]}

    assert set(created) == {"POST /integrations/create", "POST /users", "POST /auth/api-keys"}
    assert all("Location" in answer["headers"] for answer in created.values())


def test_a_protected_route_names_the_security_scheme(schema: dict[str, Any]) -> None:
    assert schema["paths"]["/auth/me"]["get"]["security"]
    assert "security" not in schema["paths"]["/healthz"]["get"]
    flows = schema["components"]["securitySchemes"]["bearer"]["flows"]
    assert flows["password"]["tokenUrl"] == "auth/token"


def test_an_example_can_be_the_routes_own() -> None:
    described = errors(404, m404="Dataset not found")

    assert described[404]["content"]["application/json"]["example"] == {
        "success": False,
        "message": "Dataset not found",
    }
    assert set(described) == {404, 500, 503}


@pytest.mark.anyio
async def test_the_documents_are_served_and_can_sign_in() -> None:
    async with client_of(bare_app()) as client:
        page, described = await client.get("/docs"), await client.get("/openapi.json")
        redirect = await client.get("/docs/oauth2-redirect")

    assert "/openapi.json" in page.text
    assert "/docs/oauth2-redirect" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert all(f"https://{host}" in policy for host in re.findall(r"https://([^/\"]+)/", page.text))
    assert not re.search(r"https:(?!//)", policy)
    assert redirect.status_code == 200
    (instead,) = re.findall(r'<div id="swagger-ui">\s*<p>(.*)</p>\s*</div>', page.text)
    assert instead.startswith("If this page stays like this, your browser does not reach https://cdn.jsdelivr.net: ")
    assert '<a href="/openapi.json">' in instead
    assert described.json()["info"]["title"] == "Integrations API"
