"""Jira, as the registry lists it."""

from typing import Annotated

from pydantic import AfterValidator, Field

from integrations_api.connectors.fields import Secret, Text, address_like
from integrations_api.connectors.services import AuthType, LooseConfig, ServiceDescription

WebAddress = Annotated[str, AfterValidator(address_like("https://your-site.atlassian.net"))]


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


class Jira(ServiceDescription):
    """Its ways of signing in; its connector is still to come."""

    def __init__(self) -> None:
        auth_types = [
            AuthType("basic_auth", _JiraBasicAuth),
            AuthType("api_token", _JiraApiToken),
            AuthType("oauth2", _JiraOAuth2),
        ]
        super().__init__(name="Jira", noun="issues", auth_types=auth_types)
