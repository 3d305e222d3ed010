"""How requests to GitHub are signed in."""

import httpx

from integrations_api.connectors.bearer import BearerAuth, TokenAuth
from integrations_api.connectors.errors import Refused
from integrations_api.connectors.github.config import ApiTokenConfig, GitHubConfig, OAuth2Config
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.services import signed_in


def auth_of(config: GitHubConfig, context: ConnectorContext) -> httpx.Auth:
    """The flow for a config. Raises `UnsupportedService` where oauth2 is asked for and no tokens are handed out."""
    match config:
        case ApiTokenConfig():
            return TokenAuth(config.api_token)
        case OAuth2Config():
            return BearerAuth(signed_in(context))
        case _:
            raise Refused("There is no way to sign in with this config", "Use api_token or oauth2")
