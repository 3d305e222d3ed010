"""GitHub, as the registry lists it."""

from typing import Any

from msgspec.structs import replace

from integrations_api.connectors.github.config import (
    CONFIGS,
    GitHubConfig,
    addresses_of,
    short_name,
)
from integrations_api.connectors.github.version import MAPPING_VERSION
from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, JsonObject
from integrations_api.connectors.retry import Time
from integrations_api.connectors.services import AuthType, ServiceDescription
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import FieldProblem

_NO_PASSWORDS = "GitHub has no sign-in by user name and password: use api_token or oauth2"


class GitHub(ServiceDescription):
    """Its ways of signing in, what tells two sources apart, and how it is opened."""

    def __init__(self) -> None:
        auth_types = [AuthType(name, model) for name, model in CONFIGS.items()]
        super().__init__(name="GitHub", noun="issues", auth_types=auth_types, mapping_version=MAPPING_VERSION)

    def validate(self, auth_type: str, config: JsonObject) -> list[FieldProblem]:
        if auth_type == "basic_auth":
            return [FieldProblem("auth_type", _NO_PASSWORDS)]
        found = super().validate(auth_type, config)
        # What concerns two fields together is shown at the first of them.
        return [replace(one, field="config.repositories") if one.field == "config" else one for one in found]

    def address(self, config: JsonObject) -> str:
        import httpx

        url = str(config.get("url") or "")
        try:
            return addresses_of(url).origin
        except httpx.InvalidURL:
            return url

    def source_facts(self, config: JsonObject) -> list[str]:
        """The repositories in any order and spelling, or the owner."""
        named = config.get("repositories") or ()
        names = {short_name(str(name)).casefold() for name in named} if isinstance(named, list | tuple) else set()
        return [",".join(sorted(names)), str(config.get("owner") or "").strip().casefold()]

    def oauth(self, config: JsonObject) -> OAuthServer | None:
        """A user's sign-in. A GitHub App's token has the app's rights and expires; an OAuth app's has its scopes."""
        web = addresses_of(str(config.get("url") or "")).web
        return OAuthServer(
            grant="authorization_code",
            authorize_url=f"{web}/login/oauth/authorize",
            token_url=f"{web}/login/oauth/access_token",
            scopes=("repo",),
            grant_errors=frozenset({"bad_verification_code", "bad_refresh_token", "invalid_grant"}),
        )

    def connector(self, config: Any, context: ConnectorContext, policy: EgressPolicy, time: Time | None) -> Connector:
        from integrations_api.connectors.github.auth import auth_of
        from integrations_api.connectors.github.connector import GitHubConnector
        from integrations_api.egress.client import open_client

        assert isinstance(config, GitHubConfig)
        http = open_client(policy, config.addresses.origin, auth=auth_of(config, context))
        return GitHubConnector(http=http, config=config, context=context, time=time)
