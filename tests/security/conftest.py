"""One product with data in it for all tests of a module: making it takes longer than most of them."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.attacking import Attacked, attacked
from tests.support.databases import Databases


@pytest.fixture(scope="module")
def module_database_url(test_databases: Databases, template_database: str) -> Iterator[str]:
    url = test_databases.create(template=template_database)
    yield url
    test_databases.drop(url)


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[Attacked]:
    async with attacked(module_database_url) as made:
        yield made
