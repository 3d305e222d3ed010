"""How requests to ServiceNow are signed in."""

from collections.abc import Generator

import httpx

from integrations_api.connectors.bearer import BearerAuth
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.servicenow.config import ApiTokenConfig, BasicAuthConfig, ServiceNowConfig
from integrations_api.connectors.services import signed_in


class ApiKeyAuth(httpx.Auth):
    """An API key in its header; never in the query, which proxies write to their logs."""

    def __init__(self, key: str) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["x-sn-apikey"] = self._key
        yield request


def auth_of(config: ServiceNowConfig, context: ConnectorContext) -> httpx.Auth:
    """The flow for a config. Raises `UnsupportedService` where oauth2 is asked for and no tokens are handed out."""
    match config:
        case BasicAuthConfig():
            return httpx.BasicAuth(config.username, config.password.get_secret_value())
        case ApiTokenConfig():
            return ApiKeyAuth(config.api_token.get_secret_value())
        case _:
            return BearerAuth(signed_in(context))
