"""What a GitHub integration is told, for each way of signing in; forms are built from its JSON Schemas."""

import re
from typing import Annotated

from msgspec import Struct
from pydantic import AfterValidator, Field, model_validator

from integrations_api.connectors.fields import HeaderSecret, Secret, SyncConfig, Text, address_like

PUBLIC_API = "https://api.github.com"
PUBLIC_WEB = "https://github.com"
LARGEST_PAGE = 100
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?")
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Addresses(Struct, frozen=True):
    """Where a GitHub listens. `origin` is what is connected to; `rest` and `graphql` are paths on it."""

    origin: str
    rest: str
    graphql: str
    web: str
    """What people open in a browser, and where apps are authorized."""


def addresses_of(url: str | None) -> Addresses:
    """Of github.com where nothing is said, of GitHub Enterprise Cloud with its own domain, else of a server."""
    import httpx

    address = httpx.URL((url or PUBLIC_API).strip())
    scheme, _, rest = str(address).partition("://")
    authority = rest.partition("/")[0]
    host = address.host.lower()
    if host in {"github.com", "www.github.com", "api.github.com"}:
        return Addresses(PUBLIC_API, "", "/graphql", PUBLIC_WEB)
    if host.endswith(".ghe.com"):
        name = authority.removeprefix("api.")
        return Addresses(f"{scheme}://api.{name}", "", "/graphql", f"{scheme}://{name}")
    origin = f"{scheme}://{authority}"
    return Addresses(origin, "/api/v3", "/api/graphql", origin)


def short_name(text: str) -> str:
    """`owner/name` out of the address of a repository's page; other texts as they are, without blanks around."""
    return re.sub(r"^https?://[^/]+/", "", text.strip()).removesuffix(".git").strip("/")


def repository_name(text: str) -> str:
    """`owner/name`, also out of the address of its page. Raises ValueError."""
    text = short_name(text)
    owner, slash, name = text.partition("/")
    if not (slash and _OWNER.fullmatch(owner) and _REPOSITORY.fullmatch(name)) or name in {".", ".."}:
        raise ValueError("must be owner/name, such as octo-org/website")
    return text


def _owner(text: str) -> str:
    if not _OWNER.fullmatch(text.strip()):
        raise ValueError("must be the name of an organization or user, such as octo-org")
    return text.strip()


WebAddress = Annotated[str, Field(max_length=2000), AfterValidator(address_like("https://github.example.com"))]
Repository = Annotated[str, Field(max_length=300), AfterValidator(repository_name)]


class GitHubConfig(SyncConfig):
    """What every way of signing in shares."""

    url: WebAddress | None = Field(
        None,
        title="URL",
        description="Address of a GitHub Enterprise Server; github.com where it is left out.",
        examples=["https://github.example.com"],
    )
    repositories: tuple[Repository, ...] = Field(
        (),
        max_length=500,
        title="Repositories",
        description="The repositories whose issues are read, as owner/name; or else name an owner.",
        examples=[["octo-org/website", "octo-org/mobile-app"]],
    )
    owner: Annotated[str, Field(max_length=100), AfterValidator(_owner)] | None = Field(
        None,
        title="Owner",
        description="An organization or user, all of whose repositories are read: those the token can see.",
        examples=["octo-org"],
    )

    @model_validator(mode="after")
    def _says_what_to_read(self) -> "GitHubConfig":
        if bool(self.repositories) == (self.owner is not None):
            raise ValueError("must name either repositories or an owner")
        return self

    @property
    def addresses(self) -> Addresses:
        """Where the API is."""
        return addresses_of(self.url)


class ApiTokenConfig(GitHubConfig):
    """Signing in with a personal access token."""

    api_token: HeaderSecret = Field(
        title="Token",
        description="A fine-grained personal access token with Issues: read-only, or a classic one.",
    )


class OAuth2Config(GitHubConfig):
    """Signing in as a user through a GitHub App or an OAuth app."""

    client_id: Text = Field(
        title="Client ID", description="Client ID of the GitHub App or OAuth app.", examples=["Iv23liAbCdEfGhIjKlMn"]
    )
    client_secret: Secret = Field(title="Client secret", description="Client secret of the app.")


CONFIGS: dict[str, type[GitHubConfig]] = {"api_token": ApiTokenConfig, "oauth2": OAuth2Config}
