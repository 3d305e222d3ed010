"""What a start imports: it is most of it."""

import subprocess
import sys

import pytest

_ANSWERING = """
import integrations_api.cli.main, integrations_api.cli.answering, integrations_api.app, sys
print(*sys.modules)
routes = [route for each in integrations_api.app.ROUTERS for route in each.routes]
print(len(routes), *(route.path for route in routes if "dependant" in vars(route)))
fields = [route.response_field for route in routes]
print(len(fields), *(field.name for field in fields if field and field._type_adapter.pydantic_complete))
"""


@pytest.fixture(scope="module")
def answering() -> list[list[str]]:
    """What the API's process has by the time it answers: modules; routes, those that are built; the same of answers."""
    told = subprocess.run([sys.executable, "-c", _ANSWERING], capture_output=True, text=True, check=True).stdout
    return [line.split() for line in told.splitlines()]


@pytest.mark.parametrize("only_a_worker_has", ["pgqueuer", "integrations_api.sync.engine", "alembic"])
def test_the_api_imports_nothing_that_only_a_worker_or_a_migration_needs(
    answering: list[list[str]], only_a_worker_has: str
) -> None:
    imported, _, _ = answering

    assert "integrations_api.sync.service" in imported
    assert only_a_worker_has not in imported


def test_a_worker_imports_nothing_of_fastapi() -> None:
    working = "import integrations_api.cli.main, integrations_api.cli.working, sys; print(*sys.modules)"

    told = subprocess.run([sys.executable, "-c", working], capture_output=True, text=True, check=True).stdout

    assert "pgqueuer" in told.split()
    assert "fastapi" not in told.split()


def test_routes_are_not_built_at_the_start(answering: list[list[str]]) -> None:
    routes, *at_once = answering[1]

    assert int(routes) > 50
    assert at_once == []


def test_what_writes_an_answer_is_not_built_at_the_start(answering: list[list[str]]) -> None:
    answers, *at_once = answering[2]

    assert int(answers) > 50
    # The only answers that are no `Success`.
    assert at_once == ["Response_readyz_readyz_get", "Response_openapi_openapi_json_get"]
