"""Jira, Cloud and Data Center, passes what every connector must."""

from collections.abc import Iterator

import pytest

from integrations_api.simulator.jira import SimulatorServer
from tests.connectors.conformance import ConformanceTests
from tests.connectors.jira.sources import SimulatedJira, site_of


class TestCloud(ConformanceTests):
    @pytest.fixture(params=["basic_auth", "api_token", "oauth2"])
    def source(self, request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
        with SimulatorServer(site_of(60)) as server:
            yield SimulatedJira(server, request.param)


class TestDataCenter(ConformanceTests):
    @pytest.fixture(params=["basic_auth", "api_token", "oauth2"])
    def source(self, request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
        with SimulatorServer(site_of(60, "datacenter", time_zone="Asia/Kathmandu")) as server:
            yield SimulatedJira(server, request.param)
