"""How requests to Jira are signed in."""

import httpx

from integrations_api.connectors.bearer import BearerAuth, TokenAuth
from integrations_api.connectors.jira.config import ApiTokenConfig, BasicAuthConfig, JiraConfig
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.services import signed_in


def auth_of(config: JiraConfig, context: ConnectorContext) -> httpx.Auth:
    """The flow for a config. Raises `UnsupportedService` where nobody hands out the tokens it needs."""
    match config:
        case BasicAuthConfig():
            return httpx.BasicAuth(config.username, config.password.get_secret_value())
        case ApiTokenConfig():
            token = config.api_token
            return httpx.BasicAuth(config.email, token.get_secret_value()) if config.email else TokenAuth(token)
        case _:
            return BearerAuth(signed_in(context))
