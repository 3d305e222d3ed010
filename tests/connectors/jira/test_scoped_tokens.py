"""API tokens with scopes, which service accounts have alone: good at Atlassian's gateway, and at no site."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.records import FetchRequest
from integrations_api.connectors.registry import find_service
from integrations_api.simulator.jira import SimulatorServer
from integrations_api.simulator.jira.access import DEFAULT_SCOPED_TOKEN
from integrations_api.simulator.jira.app import CLOUD_ID
from tests.connectors.copying import fetch
from tests.connectors.jira.sources import SimulatedJira, site_of

SITE = {"url": "https://x.atlassian.net", "email": "sync@example.com", "api_token": "token"}


@pytest.fixture(params=["api_token", "basic_auth"])
def source(request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
    with SimulatorServer(site_of(10)) as server:
        yield SimulatedJira(server, request.param)


@pytest.mark.anyio
async def test_a_token_with_scopes_reads_through_the_gateway_and_links_lead_to_the_site(source: SimulatedJira) -> None:
    key = "api_token" if source.auth_type == "api_token" else "password"
    config: dict[str, Any] = {key: DEFAULT_SCOPED_TOKEN, "url": "http://site.example", "api_url": gateway_of(source)}
    async with source.open(**config) as connector:
        found = await fetch(connector)
        links = {connector.map(record).url for record in found.records}

    assert len(links) == 10
    assert all(str(link).startswith("http://site.example/browse/") for link in links)
    assert all(request.path.startswith(f"/ex/jira/{CLOUD_ID}/") for request in source.server.log.requests)


@pytest.mark.anyio
async def test_at_the_site_a_token_with_scopes_is_refused_with_what_to_do(source: SimulatedJira) -> None:
    key = "api_token" if source.auth_type == "api_token" else "password"
    config: dict[str, Any] = {key: DEFAULT_SCOPED_TOKEN}
    async with source.open(**config) as connector:
        with pytest.raises(Refused, match="401") as caught:
            await connector.start(FetchRequest("full", None))
    assert "needs api_url" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        ({"url": "https://API.atlassian.com/ex/jira/1122-ab"}, "config.url", "must be the site itself"),
        ({"api_url": "https://api.atlassian.com"}, "config.api_url", "the cloud id of the site"),
        ({"api_url": "https://api.atlassian.com/ex/jira/1122-ab/rest"}, "config.api_url", "the cloud id of the site"),
    ],
)
def test_gateway_and_site_are_entered_where_they_belong(config: dict[str, str], field: str, words: str) -> None:
    service = find_service("Jira")
    assert service is not None
    [problem] = service.validate("api_token", SITE | config)
    assert problem.field == field
    assert words in problem.message


def test_a_site_is_the_same_source_by_either_way_and_the_gateway_is_what_is_reached() -> None:
    service = find_service("Jira")
    assert service is not None
    scoped = SITE | {"api_url": "https://api.atlassian.com/ex/jira/1122-ab/"}
    assert service.fingerprint(scoped) == service.fingerprint(SITE)
    assert service.reached_at("api_token", scoped) == "https://api.atlassian.com/ex/jira/1122-ab"
    assert service.reached_at("api_token", SITE) == "https://x.atlassian.net"


def gateway_of(source: SimulatedJira) -> str:
    return f"{source.server.url}/ex/jira/{CLOUD_ID}"
