"""A small instance with a clock that tests move, a client in process, and a server for what needs a socket."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance, Simulator, SimulatorServer
from tests.simulator.reading import AUTH


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def instance(clock: ManualClock) -> ServiceNowInstance:
    return ServiceNowInstance.with_incidents(60, seed=7, clock=clock)


@pytest.fixture
def simulator(instance: ServiceNowInstance) -> Simulator:
    return Simulator(instance, control=True)


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in as the integration user; keeps no cookies between requests unless a test sends them."""
    transport = httpx.ASGITransport(app=simulator.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://instance", auth=AUTH) as made:
        yield made


@pytest.fixture
def server(instance: ServiceNowInstance) -> Iterator[SimulatorServer]:
    with SimulatorServer(instance) as running:
        yield running
