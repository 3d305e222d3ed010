"""The services this release knows. A service is found by the first word of an integration's `service_name`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, JsonObject
from integrations_api.connectors.retry import Time
from integrations_api.connectors.servicenow.auth import auth_of
from integrations_api.connectors.servicenow.config import CONFIGS, Secret, ServiceNowConfig, Text, web_address
from integrations_api.connectors.servicenow.connector import ServiceNowConnector
from integrations_api.connectors.servicenow.mapping import MAPPING_VERSION
from integrations_api.connectors.servicenow.query import clean_filter
from integrations_api.connectors.services import (
    AuthType,
    LooseConfig,
    MissingConfiguration,
    ServiceDescription,
    UnsupportedService,
)
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import InvalidInput

__all__ = ["MissingConfiguration", "ServiceDescription", "UnsupportedService", "find_service", "services"]

WebAddress = Annotated[str, AfterValidator(web_address)]


class _ServiceNow(ServiceDescription):
    def __init__(self) -> None:
        auth_types = [AuthType(name, model) for name, model in CONFIGS.items()]
        super().__init__(name="ServiceNow", noun="incidents", auth_types=auth_types, mapping_version=MAPPING_VERSION)

    def source_facts(self, config: JsonObject) -> list[str]:
        fields = config.get("fields") or ()
        return [
            str(config.get("table") or "incident"),
            clean_filter(str(config.get("filter") or "")),
            ",".join(sorted(str(field) for field in fields)) if isinstance(fields, list | tuple) else "",
        ]

    def open(
        self,
        auth_type: str,
        config: JsonObject,
        context: ConnectorContext,
        policy: EgressPolicy,
        time: Time | None = None,
    ) -> Connector:
        if any(not config.get(key) for key in self.required_keys(auth_type)):
            raise MissingConfiguration(self.missing_message(auth_type))
        if problems := self.validate(auth_type, config):
            raise InvalidInput.of(problems)
        read = CONFIGS[auth_type].model_validate(dict(config))
        assert isinstance(read, ServiceNowConfig)
        auth = auth_of(read)
        if auth is None:
            raise UnsupportedService(f"Signing in to ServiceNow by {auth_type} is not supported yet")
        http = open_client(policy, read.base_url, auth=auth)
        return ServiceNowConnector(http=http, config=read, context=context, time=time)


class _JiraBasicAuth(LooseConfig):
    url: WebAddress = Field(title="Site URL", description="Address of the Jira site.")
    username: Text = Field(title="User name", description="E-mail address (Cloud) or user name (Data Center).")
    password: Secret = Field(title="Password", description="API token (Cloud) or password (Data Center).")


class _JiraApiToken(LooseConfig):
    url: WebAddress = Field(title="Site URL", description="Address of the Jira site.")
    api_token: Secret = Field(title="API token", description="API token (Cloud) or personal access token.")
    email: Text | None = Field(None, title="E-mail", description="Of the token's owner; Jira Cloud only.")


class _JiraOAuth2(LooseConfig):
    url: WebAddress = Field(title="Site URL", description="Address of the Jira site.")
    client_id: Text = Field(title="Client ID", description="Client ID of the OAuth app.")
    client_secret: Secret = Field(title="Client secret", description="Client secret of the OAuth app.")


class _GitHubApiToken(LooseConfig):
    url: WebAddress | None = Field(None, title="URL", description="GitHub Enterprise Server; github.com if empty.")
    api_token: Secret = Field(title="Token", description="Personal access token with read access to issues.")


class _GitHubOAuth2(LooseConfig):
    url: WebAddress | None = Field(None, title="URL", description="GitHub Enterprise Server; github.com if empty.")
    client_id: Text = Field(title="Client ID", description="Client ID of the GitHub App or OAuth app.")
    client_secret: Secret = Field(title="Client secret", description="Client secret of the app.")


_SERVICES = (
    _ServiceNow(),
    ServiceDescription(
        name="Jira",
        noun="issues",
        auth_types=[
            AuthType("basic_auth", _JiraBasicAuth),
            AuthType("api_token", _JiraApiToken),
            AuthType("oauth2", _JiraOAuth2),
        ],
    ),
    ServiceDescription(
        name="GitHub",
        noun="issues",
        auth_types=[AuthType("api_token", _GitHubApiToken), AuthType("oauth2", _GitHubOAuth2)],
    ),
)
_BY_WORD = {service.name.lower(): service for service in _SERVICES}


def services() -> tuple[ServiceDescription, ...]:
    """Every known service, in the order they are listed."""
    return _SERVICES


def find_service(service_name: str) -> ServiceDescription | None:
    """The service by the first word of a name, in any case: "ServiceNow Production" is ServiceNow."""
    words = service_name.split(maxsplit=1)
    return _BY_WORD.get(words[0].lower()) if words else None
