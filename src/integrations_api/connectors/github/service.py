"""GitHub, as the registry lists it."""

from typing import Annotated

from pydantic import AfterValidator, Field

from integrations_api.connectors.fields import Secret, Text, address_like
from integrations_api.connectors.services import AuthType, LooseConfig, ServiceDescription

WebAddress = Annotated[str, AfterValidator(address_like("https://github.example.com"))]


class _GitHubApiToken(LooseConfig):
    url: WebAddress | None = Field(None, title="URL", description="GitHub Enterprise Server; github.com if empty.")
    api_token: Secret = Field(title="Token", description="Personal access token with read access to issues.")


class _GitHubOAuth2(LooseConfig):
    url: WebAddress | None = Field(None, title="URL", description="GitHub Enterprise Server; github.com if empty.")
    client_id: Text = Field(title="Client ID", description="Client ID of the GitHub App or OAuth app.")
    client_secret: Secret = Field(title="Client secret", description="Client secret of the app.")


class GitHub(ServiceDescription):
    """Its ways of signing in; its connector is still to come."""

    def __init__(self) -> None:
        auth_types = [
            AuthType("api_token", _GitHubApiToken),
            AuthType("oauth2", _GitHubOAuth2),
        ]
        super().__init__(name="GitHub", noun="issues", auth_types=auth_types)
