"""What every test may ask for: the event loop, a real PostgreSQL, and a migrated database of its own."""

import gc
import importlib.util
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from integrations_api.logs import configure_logging
from tests.support.databases import Databases, database_name, databases, server_for_tests
from tests.support.long import FULL
from tests.support.once import compiled_once, tables_of_the_queue_checked_once
from tests.support.parallel import processes_for

_for_the_session = pytest.StashKey[ExitStack]()
_shared_server = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` means."""
    return processes_for(config.args)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_for_the_session] = ExitStack()
    # httpx and httpcore ask for it several times in a request, each time through all of sys.path, until it is known to
    # be missing.
    if "sniffio" not in sys.modules and importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Before a process of pytest-xdist starts: it is told which server all of them share."""
    stash = node.config.stash
    if _shared_server not in stash:
        stash[_shared_server] = stash[_for_the_session].enter_context(server_for_tests())
    node.workerinput["postgres_url"] = stash[_shared_server]


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_for_the_session].close()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Garbage is looked for in what the tests make, not each time in thousands of modules and items as well."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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


@pytest.fixture(scope="session", autouse=True)
def _found_out_once() -> Iterator[None]:
    with compiled_once(), tables_of_the_queue_checked_once():
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL server where databases may be made; of several test processes, all have the same."""
    if told := getattr(request.config, "workerinput", None):
        yield told["postgres_url"]
        return
    with server_for_tests() as url:
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
