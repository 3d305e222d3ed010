"""The description of these routes holds for what they really do."""

from typing import Any

import pytest

from integrations_api.integrations.schemas import (
    CREATE_EXAMPLE,
    CREATED_EXAMPLE,
    INTEGRATION_EXAMPLE,
    UPDATE_EXAMPLE,
    UPDATED_EXAMPLE,
    IntegrationAnswer,
    IntegrationOut,
    IntegrationsAnswer,
    ServicesAnswer,
)
from tests.integrations.conftest import Room
from tests.support.applications import bare_app

OPERATIONS = {
    ("get", "/integrations/all"): ("integration.view", {"200", "401", "403", "422"}),
    ("get", "/integrations/services"): ("integration.view", {"200", "401", "403"}),
    ("get", "/integrations/id/{integration_id}"): ("integration.view", {"200", "401", "403", "404", "422"}),
    ("post", "/integrations/create"): ("integration.create", {"201", "401", "403", "413", "415", "422"}),
    ("put", "/integrations/update/{integration_id}"): (
        "integration.edit", {"200", "401", "403", "404", "413", "415", "422"},
    ),
    ("delete", "/integrations/delete/{integration_id}"): ("integration.delete", {"200", "401", "403", "404", "422"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    described: dict[str, Any] = bare_app().openapi()["paths"]
    return described


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_each_operation_names_its_permission_and_all_its_answers(paths: dict[str, Any], method: str, path: str) -> None:
    permission, statuses = OPERATIONS[method, path]

    operation = paths[path][method]

    assert operation["x-permission"] == permission
    assert statuses <= set(operation["responses"])
    assert {"500", "503"} <= set(operation["responses"])
    assert operation["summary"]


def test_bodies_and_answers_have_examples(paths: dict[str, Any]) -> None:
    for method, path in OPERATIONS:
        operation = paths[path][method]
        good = next(answer for status, answer in operation["responses"].items() if status < "300")
        if not path.endswith("/services"):
            assert good["content"]["application/json"]["example"]["success"] is True
        if method in {"post", "put"}:
            assert operation["requestBody"]["content"]["application/json"]["examples"]["servicenow"]["value"]


@pytest.mark.parametrize("example", [INTEGRATION_EXAMPLE, CREATED_EXAMPLE, UPDATED_EXAMPLE])
def test_examples_are_integrations_field_by_field(example: dict[str, Any]) -> None:
    read = IntegrationOut.model_validate(example)

    assert read.model_dump(mode="json") == example
    assert list(example) == list(IntegrationOut.model_fields)


@pytest.mark.anyio
async def test_real_answers_fit_the_documented_models(room: Room) -> None:
    created = await room.send("POST", "/integrations/create", CREATE_EXAMPLE)
    integration_id = created.json()["integration"]["id"]
    updated = await room.send("PUT", f"/integrations/update/{integration_id}", UPDATE_EXAMPLE)
    listed = await room.send("GET", "/integrations/all")
    services = await room.send("GET", "/integrations/services")

    assert IntegrationAnswer.model_validate_json(created.content).model_dump(mode="json") == created.json()
    assert IntegrationAnswer.model_validate_json(updated.content).model_dump(mode="json") == updated.json()
    whole = IntegrationsAnswer.model_validate_json(listed.content)
    assert whole.model_dump(mode="json", exclude_unset=True) == listed.json()
    assert (
        ServicesAnswer.model_validate_json(services.content).model_dump(mode="json", by_alias=True) == services.json()
    )
