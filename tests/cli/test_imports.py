"""What a start imports: it is most of it."""

import subprocess
import sys

import pytest

_ANSWERING = "import integrations_api.cli.main, integrations_api.cli.answering, integrations_api.app"


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules of the API's process by the time it answers."""
    command = [sys.executable, "-c", f"{_ANSWERING}, sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("only_a_worker_has", ["pgqueuer", "integrations_api.sync.engine", "alembic"])
def test_the_api_imports_nothing_that_only_a_worker_or_a_migration_needs(
    imported: set[str], only_a_worker_has: str
) -> None:
    assert "integrations_api.sync.service" in imported
    assert only_a_worker_has not in imported


def test_a_worker_imports_nothing_of_fastapi() -> None:
    working = "import integrations_api.cli.main, integrations_api.cli.working, sys; print(*sys.modules)"

    told = subprocess.run([sys.executable, "-c", working], capture_output=True, text=True, check=True).stdout

    assert "pgqueuer" in told.split()
    assert "fastapi" not in told.split()


def test_routes_are_not_built_at_the_start() -> None:
    built = (
        "from integrations_api.app import ROUTERS; "
        "routes = [r for each in ROUTERS for r in each.routes]; "
        "print(len(routes), *(r.path for r in routes if 'dependant' in vars(r)))"
    )

    told = subprocess.run([sys.executable, "-c", built], capture_output=True, text=True, check=True).stdout

    routes, *at_once = told.split()
    assert int(routes) > 50
    assert at_once == []


def test_what_writes_an_answer_is_not_built_at_the_start() -> None:
    built = (
        "from integrations_api.app import ROUTERS; "
        "fields = [r.response_field for each in ROUTERS for r in each.routes]; "
        "print(len(fields), *(field.name for field in fields if field and field._type_adapter.pydantic_complete))"
    )

    told = subprocess.run([sys.executable, "-c", built], capture_output=True, text=True, check=True).stdout

    routes, *at_once = told.split()
    assert int(routes) > 50
    # The only answers that are no `Success`.
    assert at_once == ["Response_readyz_readyz_get", "Response_openapi_openapi_json_get"]
