"""Jira, Cloud and Data Center, passes what every connector must."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.simulator.jira import SimulatorServer
from tests.connectors.conformance import ConformanceTests
from tests.connectors.jira.sources import SimulatedJira, site_of
from tests.support.long import long

SIGN_INS = ("basic_auth", "api_token", "oauth2")


def each(kept: str) -> list[Any]:
    """The ways of signing in; the tests of journeys have each of them in every run, this has one."""
    return [way if way == kept else long(way) for way in SIGN_INS]


class TestCloud(ConformanceTests):
    @pytest.fixture(params=each("oauth2"))
    def source(self, request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
        with SimulatorServer(site_of(60)) as server:
            yield SimulatedJira(server, request.param)


class TestDataCenter(ConformanceTests):
    @pytest.fixture(params=each("api_token"))
    def source(self, request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
        with SimulatorServer(site_of(60, "datacenter", time_zone="Asia/Kathmandu")) as server:
            yield SimulatedJira(server, request.param)
