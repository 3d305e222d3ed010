"""GitHub passes what every connector must: by owner and by list, with pages by number and by cursor."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.simulator.github import OWNER, GitHubServer
from tests.connectors.conformance import ConformanceTests
from tests.connectors.github.sources import ALL, SimulatedGitHub, instance_of
from tests.support.long import long


class TestGitHub(ConformanceTests):
    @pytest.fixture(params=[pytest.param({"owner": OWNER}, id="owner"), long({"repositories": ALL}, name="list")])
    def source(self, request: pytest.FixtureRequest) -> Iterator[SimulatedGitHub]:
        config: dict[str, Any] = request.param
        with GitHubServer(instance_of(60)) as server:
            yield SimulatedGitHub(server, **config)


class TestLargeRepositories(ConformanceTests):
    @pytest.fixture
    def source(self) -> Iterator[SimulatedGitHub]:
        with GitHubServer(instance_of(60)) as server:
            server.add_fault("cursor_pages")
            yield SimulatedGitHub(server)
