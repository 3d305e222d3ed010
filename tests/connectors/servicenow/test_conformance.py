"""ServiceNow passes what every connector must."""

from collections.abc import Iterator

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from tests.connectors.conformance import ConformanceTests
from tests.connectors.servicenow.sources import SimulatedServiceNow, instance_of
from tests.support.long import long


class TestServiceNow(ConformanceTests):
    @pytest.fixture(params=[long("America/Los_Angeles"), long("UTC"), "Asia/Kathmandu"])
    def source(self, request: pytest.FixtureRequest) -> Iterator[SimulatedServiceNow]:
        with SimulatorServer(instance_of(60, time_zone=request.param)) as server:
            yield SimulatedServiceNow(server)
