"""What a Jira integration is told, for each way of signing in; forms are built from its JSON Schemas."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from integrations_api.connectors.fields import HeaderSecret, Secret, SyncConfig, Text, address_like
from integrations_api.connectors.jira.jql import filter_problem, scope

_PROJECT = re.compile(r"[A-Z][A-Z0-9_]{0,254}")
_FIELD = re.compile(r"customfield_\d{1,12}")
_CLOUD_HOSTS = (".atlassian.net", ".jira.com", ".atlassian-us-gov-mod.net")


def _filter(text: str) -> str:
    text = text.strip()
    if problem := filter_problem(text):
        raise ValueError(problem)
    return text


def _project(text: str) -> str:
    key = text.strip().upper()
    if not _PROJECT.fullmatch(key):
        raise ValueError("must be the key of a project, such as OPS")
    return key


def _field(text: str) -> str:
    if not _FIELD.fullmatch(text):
        raise ValueError("must be the id of a custom field, such as customfield_10050")
    return text


_Address = AfterValidator(address_like("https://your-site.atlassian.net"))
_GATEWAY_HOST = "api.atlassian.com"
_GATEWAY = re.compile(r"/ex/jira/[\w-]{1,64}/?")


def _site(text: str) -> str:
    """Links are made from it, and a site stays the same source whichever way it is reached."""
    if urlsplit(text).hostname == _GATEWAY_HOST:
        raise ValueError(
            f"must be the site itself, such as https://your-site.atlassian.net: https://{_GATEWAY_HOST}/ex/jira/… is "
            "entered as api_url, with an API token"
        )
    return text


def _gateway(text: str) -> str:
    if not _GATEWAY.fullmatch(urlsplit(text).path):
        raise ValueError(f"must be https://{_GATEWAY_HOST}/ex/jira/ and the cloud id of the site")
    return text


class JiraConfig(SyncConfig):
    """What every way of signing in shares."""

    url: Annotated[str, Field(max_length=2000), _Address, AfterValidator(_site)] = Field(
        title="Site URL",
        description="Address of the Jira site, Cloud or Data Center, with its context path if it has one.",
        examples=["https://your-site.atlassian.net", "https://jira.example.com"],
    )
    projects: tuple[Annotated[str, AfterValidator(_project)], ...] = Field(
        (),
        max_length=200,
        title="Projects",
        description="Keys of the projects to read; all that the user may browse if empty.",
        examples=[["OPS", "NET"]],
    )
    filter: Annotated[str, AfterValidator(_filter)] = Field(
        "",
        title="Filter",
        description="JQL that limits which issues are read; without ORDER BY.",
        examples=["issuetype = Incident AND statusCategory != Done"],
    )
    fields: tuple[Annotated[str, AfterValidator(_field)], ...] = Field(
        (),
        max_length=50,
        title="Custom fields",
        description="Ids of custom fields to keep as attributes beside the usual fields.",
        examples=[["customfield_10050"]],
    )

    @property
    def base_url(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")

    @property
    def scope(self) -> str:
        """Projects and filter as one condition; empty where everything is read."""
        return scope(self.filter, self.projects)


class TokenConfig(JiraConfig):
    """What those share that may sign in with an API token of Cloud."""

    api_url: Annotated[str, Field(max_length=2000), _Address, AfterValidator(_gateway)] | None = Field(
        None,
        title="API gateway",
        description="Only for API tokens with scopes, and so for service accounts: Atlassian's gateway, with the "
        "site's cloud id, which https://your-site.atlassian.net/_edge/tenant_info shows.",
        examples=["https://api.atlassian.com/ex/jira/11223344-a1b2-3b33-c444-def123456789"],
    )

    @property
    def api_base(self) -> str:
        """Where requests go, without a slash at its end."""
        return self.api_url.rstrip("/") if self.api_url else self.base_url


class BasicAuthConfig(TokenConfig):
    """Signing in with a name and a password; on Cloud that is an e-mail address and an API token."""

    username: Text = Field(
        title="User name",
        description="E-mail address of the account (Cloud), or user name (Data Center).",
        examples=["sync@example.com"],
    )
    password: Secret = Field(title="Password", description="API token of the account (Cloud), or password.")


class ApiTokenConfig(TokenConfig):
    """Signing in with an API token and its owner's e-mail (Cloud), or with a personal access token (Data Center)."""

    api_token: HeaderSecret = Field(
        title="API token", description="API token of the account (Cloud), or personal access token (Data Center)."
    )
    email: Text | None = Field(
        None,
        title="E-mail",
        description="Address of the API token's owner; for Cloud only, leave it empty for Data Center.",
        examples=["sync@example.com"],
    )


class OAuth2Config(JiraConfig):
    """Signing in through an OAuth 2.0 app (Cloud) or an incoming application link (Data Center)."""

    client_id: Text = Field(
        title="Client ID", description="Client ID of the OAuth app.", examples=["o7mRk2Xb9QdVtWnZ4sLyEuHaJcPfGi1T"]
    )
    client_secret: Secret = Field(title="Client secret", description="Client secret of the OAuth app.")
    auth_url: Annotated[str, Field(max_length=2000), _Address] | None = Field(
        None,
        title="Authorization server",
        description="For Cloud sites outside of atlassian.net, such as Atlassian Government; usually empty.",
        examples=["https://auth.atlassian.com"],
    )
    api_url: Annotated[str, Field(max_length=2000), _Address] | None = Field(
        None,
        title="API gateway",
        description="For Cloud sites outside of atlassian.net, such as Atlassian Government; usually empty.",
        examples=["https://api.atlassian.com"],
    )

    @property
    def is_cloud(self) -> bool:
        """Whether Atlassian's own servers hand out the tokens, and not the site itself."""
        import httpx

        host = httpx.URL(self.url).host.lower().removesuffix(".")
        return self.auth_url is not None or host.endswith(_CLOUD_HOSTS)


CONFIGS: dict[str, type[JiraConfig]] = {
    "basic_auth": BasicAuthConfig,
    "api_token": ApiTokenConfig,
    "oauth2": OAuth2Config,
}
