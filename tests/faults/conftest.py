"""One running product for all tests of a module: each has a source and an integration of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from tests.support.databases import Databases
from tests.support.matrix import Product, product, source


@pytest.fixture(scope="module")
def module_database_url(test_databases: Databases, template_database: str) -> Iterator[str]:
    url = test_databases.create(template=template_database)
    yield url
    test_databases.drop(url)


@pytest.fixture(scope="module")
async def service(module_database_url: str) -> AsyncIterator[Product]:
    async with product(module_database_url) as running:
        yield running


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with source() as running:
        yield running
