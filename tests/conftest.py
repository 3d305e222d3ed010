"""What every test may ask for: the event loop, a real PostgreSQL, and a migrated database of its own."""

import os
from collections.abc import Iterator

import pytest

from integrations_api.logs import configure_logging
from tests.support.databases import Databases, database_name, databases, throwaway_server

FULL = os.environ.get("FAULT_MATRIX") == "full"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is marked `long` belongs to `make test-faults` alone."""
    if FULL:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    """Log lines as the service writes them: the library's default would render local variables, slowly."""
    configure_logging(log_format="text", level="INFO")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server where databases may be made: TEST_DATABASE_URL, else a bundled one for this session."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with throwaway_server() as url:
        yield url


@pytest.fixture(scope="session")
def test_databases(postgres_url: str) -> Iterator[Databases]:
    """Makes and drops databases on the test server."""
    with databases(postgres_url) as made:
        yield made


@pytest.fixture(scope="session")
def template_database(test_databases: Databases) -> Iterator[str]:
    """The name of a database at the schema's head; never connect to it, clone it."""
    from integrations_api.db.migrations import upgrade

    url = test_databases.create()
    upgrade(url)
    yield database_name(url)
    test_databases.drop(url)


@pytest.fixture
def database_url(test_databases: Databases, template_database: str) -> Iterator[str]:
    """A fresh, migrated database for one test, dropped afterwards whoever is still connected."""
    url = test_databases.create(template=template_database)
    yield url
    test_databases.drop(url)


@pytest.fixture
def empty_database_url(test_databases: Databases) -> Iterator[str]:
    """A fresh database without any tables, for the tests of the migrations."""
    url = test_databases.create()
    yield url
    test_databases.drop(url)
