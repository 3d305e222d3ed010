"""ServiceNow, as the registry lists it."""

from typing import Any

from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, JsonObject
from integrations_api.connectors.retry import Time
from integrations_api.connectors.servicenow.config import (
    CONFIGS,
    REQUIRED_BY_GRANT,
    OAuth2Config,
    ServiceNowConfig,
    read_choice,
)
from integrations_api.connectors.servicenow.query import clean_filter
from integrations_api.connectors.servicenow.version import MAPPING_VERSION
from integrations_api.connectors.services import (
    AuthType,
    ServiceDescription,
)
from integrations_api.egress.guard import EgressPolicy


class ServiceNow(ServiceDescription):
    """Its ways of signing in, what tells two sources apart, and how it is opened."""

    def __init__(self) -> None:
        auth_types = [
            AuthType(name, model, by_grant=REQUIRED_BY_GRANT if name == "oauth2" else {})
            for name, model in CONFIGS.items()
        ]
        super().__init__(name="ServiceNow", noun="incidents", auth_types=auth_types, mapping_version=MAPPING_VERSION)

    def source_facts(self, config: JsonObject) -> list[str]:
        fields = config.get("fields") or ()
        return [
            str(config.get("table") or "incident"),
            clean_filter(str(config.get("filter") or "")),
            ",".join(sorted(_as_fact(field) for field in fields)) if isinstance(fields, list | tuple) else "",
        ]

    def oauth(self, config: JsonObject) -> OAuthServer | None:
        """The instance itself; what tokens may do is said by the user they are for, so there are no scopes to ask."""
        read = OAuth2Config.model_validate(dict(config))
        return OAuthServer(
            grant=read.grant,
            token_url=f"{read.base_url}/oauth_token.do",
            authorize_url=f"{read.base_url}/oauth_auth.do",
            # With 401 and "access_denied" the second is what most instances say of whatever they do not accept.
            grant_errors=frozenset({"invalid_grant", "server_error"}),
        )

    def connector(self, config: Any, context: ConnectorContext, policy: EgressPolicy, time: Time | None) -> Connector:
        from integrations_api.connectors.servicenow.auth import auth_of
        from integrations_api.connectors.servicenow.connector import ServiceNowConnector
        from integrations_api.egress.client import open_client

        assert isinstance(config, ServiceNowConfig)
        http = open_client(policy, config.base_url, auth=auth_of(config, context))
        return ServiceNowConnector(http=http, config=config, context=context, time=time)


def _as_fact(field: Any) -> str:
    """A column as a fingerprint names it, also one of a config that is not valid."""
    try:
        choice = read_choice(field)
    except ValueError:
        return str(field)
    return choice.name if choice.to == "attributes" else f"{choice.name}>{choice.to}"
