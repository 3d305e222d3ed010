"""The cells of the matrix of services and ways of signing in: what each needs for a journey through the product."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from integrations_api.simulator.github import DEFAULT_TOKEN, OWNER, GitHubServer
from integrations_api.simulator.github.door import CLIENT_ID, CLIENT_SECRET
from integrations_api.simulator.jira import Flavour
from integrations_api.simulator.jira import SimulatorServer as JiraServer
from integrations_api.simulator.servicenow import SimulatorServer
from integrations_api.simulator.servicenow.access import DEFAULT_PASSWORD
from tests.connectors.github import sources as github
from tests.connectors.jira import sources as jira
from tests.connectors.servicenow import sources as servicenow
from tests.support.connecting import GRANTS, Browser

COUNT = 60


class LivingSource(Protocol):
    """A simulated source that a journey changes; its clock is moved by the test alone."""

    def titles(self) -> dict[str, str]:
        """External id to title, of all there is."""
        ...

    def create(self, title: str) -> str: ...
    def update(self, external_id: str, title: str) -> None: ...
    def delete(self, external_id: str) -> None: ...
    def advance(self, seconds: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A running source, and the config of an integration with it."""

    source: LivingSource
    config: dict[str, Any]


Connect = Callable[[httpx.AsyncClient, str, Opened], Awaitable[None]]
"""What a person does in the browser between storing an integration and its first sync."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One service and one way of signing in."""

    name: str
    service: str
    noun: str
    auth_type: str
    opened: Callable[[], AbstractContextManager[Opened]]
    connect: Connect | None = None


def _servicenow(**credentials: str) -> Callable[[], AbstractContextManager[Opened]]:
    @contextmanager
    def opened() -> Iterator[Opened]:
        with SimulatorServer(servicenow.instance_of(COUNT)) as server:
            yield Opened(servicenow.SimulatedServiceNow(server), {"url": server.url, **credentials})

    return opened


def _jira(flavour: Flavour, auth_type: str) -> Callable[[], AbstractContextManager[Opened]]:
    @contextmanager
    def opened() -> Iterator[Opened]:
        with JiraServer(jira.site_of(COUNT, flavour)) as server:
            config = {"url": server.url, **jira.SIGN_INS[flavour, auth_type]}
            if (flavour, auth_type) == ("cloud", "oauth2"):
                config |= {"auth_url": server.url, "api_url": server.url}
            yield Opened(jira.SimulatedJira(server, auth_type), config)

    return opened


@contextmanager
def _github() -> Iterator[Opened]:
    with GitHubServer(github.instance_of(COUNT)) as server:
        config = {"url": server.url, "owner": OWNER, "api_token": DEFAULT_TOKEN}
        yield Opened(github.SimulatedGitHub(server), config)


@contextmanager
def _github_app() -> Iterator[Opened]:
    with GitHubServer(github.instance_of(COUNT)) as server:
        # Only what the app hands out is a way in.
        del server.instance.tokens[DEFAULT_TOKEN]
        app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        source = github.SimulatedGitHub(server)
        yield Opened(source, {"url": server.url, "repositories": github.ALL, **app})


async def by_browser(client: httpx.AsyncClient, integration: str, opened: Opened) -> None:
    """Somebody asks for the address, signs in at the source, and comes back to a page that says it worked."""
    begun = await client.post(f"/integrations/oauth/{integration}/authorize")
    assert begun.status_code == 200, begun.text
    page = await Browser(str(client.base_url)).open(begun.json()["authorize_url"])
    assert page.status_code == 200, page.text


_SERVICENOW_USER = {"username": "integration", "password": DEFAULT_PASSWORD}

CELLS = [
    Cell("ServiceNow basic_auth", "ServiceNow", "incidents", "basic_auth", _servicenow(**_SERVICENOW_USER)),
    Cell("ServiceNow api_token", "ServiceNow", "incidents", "api_token", _servicenow(api_token="simulator-api-key")),
    *(
        Cell(
            f"ServiceNow oauth2, {grant}",
            "ServiceNow",
            "incidents",
            "oauth2",
            _servicenow(grant=grant, **credentials),
            by_browser if grant == "authorization_code" else None,
        )
        for grant, credentials in GRANTS.items()
    ),
    Cell("Jira Cloud basic_auth", "Jira", "issues", "basic_auth", _jira("cloud", "basic_auth")),
    Cell("Jira Cloud api_token", "Jira", "issues", "api_token", _jira("cloud", "api_token")),
    Cell("Jira Cloud oauth2", "Jira", "issues", "oauth2", _jira("cloud", "oauth2"), by_browser),
    Cell("Jira Data Center basic_auth", "Jira", "issues", "basic_auth", _jira("datacenter", "basic_auth")),
    Cell("Jira Data Center api_token", "Jira", "issues", "api_token", _jira("datacenter", "api_token")),
    Cell("Jira Data Center oauth2", "Jira", "issues", "oauth2", _jira("datacenter", "oauth2"), by_browser),
    Cell("GitHub api_token", "GitHub", "issues", "api_token", _github),
    Cell("GitHub oauth2", "GitHub", "issues", "oauth2", _github_app, by_browser),
]
