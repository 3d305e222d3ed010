"""Jira, as the registry lists it."""

from typing import Any

from integrations_api.connectors.jira.config import CONFIGS, JiraConfig, OAuth2Config, TokenConfig
from integrations_api.connectors.jira.version import MAPPING_VERSION
from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, JsonObject
from integrations_api.connectors.retry import Time
from integrations_api.connectors.services import AuthType, ServiceDescription
from integrations_api.egress.guard import EgressPolicy

_AUTH_URL, _API_URL = "https://auth.atlassian.com", "https://api.atlassian.com"


class Jira(ServiceDescription):
    """Its ways of signing in, what tells two sources apart, and how it is opened: Cloud and Data Center alike."""

    def __init__(self) -> None:
        auth_types = [AuthType(name, model) for name, model in CONFIGS.items()]
        super().__init__(name="Jira", noun="issues", auth_types=auth_types, mapping_version=MAPPING_VERSION)

    def reached_at(self, auth_type: str, config: JsonObject) -> str:
        """Atlassian's gateway for Cloud by OAuth, and for API tokens with scopes, which are good only there."""
        if self.validate(auth_type, config):
            return self.address(config)
        read = self.auth_types[auth_type].model.model_validate(dict(config))
        if isinstance(read, OAuth2Config):
            return (read.api_url or _API_URL) if read.is_cloud else read.base_url
        assert isinstance(read, TokenConfig)
        return read.api_base

    def source_facts(self, config: JsonObject) -> list[str]:
        """With the context path, if there is one: several sites may stand on one host, each with ids of its own."""
        path = _context_path(self.address(config))
        return [
            str(config.get("filter") or "").strip(),
            ",".join(sorted(key.strip().upper() for key in _texts(config.get("projects")))),
            ",".join(sorted(_texts(config.get("fields")))),
            *([path] if path else []),
        ]

    def oauth(self, config: JsonObject) -> OAuthServer | None:
        """Atlassian's own server for Cloud, with refresh tokens that rotate; the site itself for Data Center."""
        read = OAuth2Config.model_validate(dict(config))
        if not read.is_cloud:
            root = f"{read.base_url}/rest/oauth2/latest"
            return OAuthServer(
                grant="authorization_code",
                authorize_url=f"{root}/authorize",
                token_url=f"{root}/token",
                scopes=("READ",),
            )
        server = (read.auth_url or _AUTH_URL).rstrip("/")
        return OAuthServer(
            grant="authorization_code",
            authorize_url=f"{server}/authorize",
            token_url=f"{server}/oauth/token",
            scopes=("read:jira-work", "offline_access"),
            authorize_params={"audience": "api.atlassian.com", "prompt": "consent"},
            # Documented is the first; the second, "refresh_token is invalid", is what many have met.
            grant_errors=frozenset({"invalid_grant", "unauthorized_client"}),
        )

    def connector(self, config: Any, context: ConnectorContext, policy: EgressPolicy, time: Time | None) -> Connector:
        from integrations_api.connectors.jira.auth import auth_of
        from integrations_api.connectors.jira.connector import JiraConnector
        from integrations_api.egress.client import open_client

        assert isinstance(config, JiraConfig)
        auth = auth_of(config, context)
        if isinstance(config, OAuth2Config) and config.is_cloud:
            http = open_client(policy, (config.api_url or _API_URL).rstrip("/"), auth=auth)
            return JiraConnector(http=http, config=config, context=context, gateway_for=config.base_url, time=time)
        http = open_client(policy, config.api_base if isinstance(config, TokenConfig) else config.base_url, auth=auth)
        return JiraConnector(http=http, config=config, context=context, time=time)


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list | tuple) else []


def _context_path(url: str) -> str:
    """Empty where there is none, or no URL."""
    import httpx

    try:
        return httpx.URL(url.strip()).path.rstrip("/")
    except httpx.InvalidURL:
        return ""
