"""Signing in to Jira by OAuth 2.0: through Atlassian's gateway to the right site, or at the site itself."""

import json
from collections.abc import Iterator

import httpx
import pytest

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.http import Answer
from integrations_api.connectors.records import FetchRequest
from integrations_api.connectors.registry import find_service
from integrations_api.connectors.token_answers import GrantRefused
from integrations_api.connectors.token_requests import read_answer
from integrations_api.simulator.jira import SimulatorServer
from tests.connectors.copying import fetch
from tests.connectors.jira.sources import SimulatedJira, site_of

APP = {"client_id": "app", "client_secret": "s3cret"}


@pytest.fixture(params=["cloud", "datacenter"])
def source(request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
    with SimulatorServer(site_of(40, request.param)) as server:
        yield SimulatedJira(server, "oauth2")


@pytest.fixture
def cloud() -> Iterator[SimulatedJira]:
    with SimulatorServer(site_of(40)) as server:
        yield SimulatedJira(server, "oauth2")


@pytest.mark.parametrize(
    ("config", "authorize_url", "token_url", "scopes"),
    [
        (
            {"url": "https://x.atlassian.net"},
            "https://auth.atlassian.com/authorize",
            "https://auth.atlassian.com/oauth/token",
            ("read:jira-work", "offline_access"),
        ),
        (
            {"url": "https://jira.x.example", "auth_url": "https://auth.gov.example/"},
            "https://auth.gov.example/authorize",
            "https://auth.gov.example/oauth/token",
            ("read:jira-work", "offline_access"),
        ),
        (
            {"url": "https://x.example/jira/"},
            "https://x.example/jira/rest/oauth2/latest/authorize",
            "https://x.example/jira/rest/oauth2/latest/token",
            ("READ",),
        ),
        (
            {"url": "https://x.atlassian.net.evil.example"},
            "https://x.atlassian.net.evil.example/rest/oauth2/latest/authorize",
            "https://x.atlassian.net.evil.example/rest/oauth2/latest/token",
            ("READ",),
        ),
    ],
)
def test_a_config_leads_to_its_authorization_server(
    config: dict[str, str], authorize_url: str, token_url: str, scopes: tuple[str, ...]
) -> None:
    service = find_service("Jira")
    assert service is not None
    server = service.oauth(APP | config)
    assert server is not None
    assert (server.authorize_url, server.token_url, server.scopes) == (authorize_url, token_url, scopes)


@pytest.mark.parametrize("code", ["invalid_grant", "unauthorized_client"])
def test_each_way_in_which_atlassian_refuses_a_refresh_token_asks_to_connect_again(code: str) -> None:
    service = find_service("Jira")
    assert service is not None
    server = service.oauth(APP | {"url": "https://x.atlassian.net"})
    assert server is not None
    refusal = json.dumps({"error": code, "error_description": "refresh_token is invalid"}).encode()
    with pytest.raises(GrantRefused) as caught:
        read_answer(Answer(403, httpx.Headers(), refusal), server)
    assert caught.value.remedy == "Connect the integration again"


@pytest.mark.anyio
async def test_a_token_that_ends_in_mid_read_is_renewed_once(source: SimulatedJira) -> None:
    door = source.site.door
    async with source.open() as connector:
        assert source.tokens is not None
        start = await connector.start(FetchRequest("full", None))
        door.tokens[source.tokens.tokens[0]].expires_at = 0
        ids = {record.external_id async for page in connector.pages(start, start.lanes) for record in page.records}
    assert ids == set(source.titles())
    assert source.tokens.refused == source.tokens.tokens[:1]


@pytest.mark.anyio
async def test_cloud_is_read_through_the_gateway_alone(cloud: SimulatedJira) -> None:
    async with cloud.open() as connector:
        await fetch(connector)
    paths = {request.path for request in cloud.server.log.requests}
    assert all(path.startswith("/ex/jira/") or path == "/oauth/token/accessible-resources" for path in paths)


@pytest.mark.anyio
async def test_a_sign_in_for_another_site_is_refused_with_what_to_do(cloud: SimulatedJira) -> None:
    async with cloud.open(url="http://other.example", api_url=cloud.server.url) as connector:
        with pytest.raises(Refused, match="no access to this site") as caught:
            await connector.start(FetchRequest("full", None))
    assert "choose this site" in str(caught.value.remedy)
