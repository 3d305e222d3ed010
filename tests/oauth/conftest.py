"""A simulated ServiceNow whose clock the test moves, and the product beside it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from tests.connectors.servicenow.sources import instance_of
from tests.support.connecting import Connecting, connecting


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(instance_of(60)) as running:
        yield running


@pytest.fixture
async def product(database_url: str) -> AsyncIterator[Connecting]:
    async with connecting(database_url) as made:
        yield made
