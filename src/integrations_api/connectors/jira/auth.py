"""How requests to Jira are signed in."""

from collections.abc import Generator

import httpx

from integrations_api.connectors.bearer import BearerAuth
from integrations_api.connectors.jira.config import ApiTokenConfig, BasicAuthConfig, JiraConfig
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.services import signed_in


class PersonalAccessToken(httpx.Auth):
    """A token that stands for its owner."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def auth_of(config: JiraConfig, context: ConnectorContext) -> httpx.Auth:
    """The flow for a config. Raises `UnsupportedService` where nobody hands out the tokens it needs."""
    match config:
        case BasicAuthConfig():
            return httpx.BasicAuth(config.username, config.password.get_secret_value())
        case ApiTokenConfig():
            token = config.api_token.get_secret_value()
            return httpx.BasicAuth(config.email, token) if config.email else PersonalAccessToken(token)
        case _:
            return BearerAuth(signed_in(context))
