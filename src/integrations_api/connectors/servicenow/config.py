"""What a ServiceNow integration is told, for each way of signing in; forms are built from its JSON Schemas."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Struct
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from integrations_api.connectors.fields import HeaderSecret, Secret, SyncConfig, Text, address_like
from integrations_api.connectors.oauth import Grant
from integrations_api.connectors.servicenow.query import COLUMN, clean_filter, filter_problem

_Address = AfterValidator(address_like("https://instance.service-now.com"))
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,79}")


def _filter(text: str) -> str:
    if problem := filter_problem(text):
        raise ValueError(problem)
    return clean_filter(text)


def _table(text: str) -> str:
    if not _TABLE.fullmatch(text):
        raise ValueError("must be the name of a table, such as incident")
    return text


class ColumnChoice(Struct, frozen=True):
    """A column to keep beside the usual ones, and where: with the attributes, or in the text that is searched."""

    name: str
    to: Literal["attributes", "text"] = "attributes"


def read_choice(value: Any) -> ColumnChoice:
    """From a name, or from an object of `name` and `to`. Raises ValueError."""
    given = value if isinstance(value, Mapping) else {"name": value}
    name, to = given.get("name"), given.get("to", "attributes")
    if not isinstance(name, str) or not COLUMN.fullmatch(name) or len(name) > 200:
        raise ValueError("must be the name of a column, such as u_business_unit or caller_id.email")
    if to not in ("attributes", "text"):
        raise ValueError('must say "attributes" or "text" in `to`')
    if unknown := sorted(given.keys() - {"name", "to"}):
        raise ValueError(f"must have name and to only, and no {unknown[0]}")
    return ColumnChoice(name, to)


_NAME_SCHEMA = {"type": "string", "maxLength": 200, "pattern": f"^{COLUMN.pattern}$", "title": "Column"}
_CHOICE_SCHEMA = {
    "anyOf": [
        _NAME_SCHEMA,
        {
            "type": "object",
            "properties": {
                "name": _NAME_SCHEMA,
                "to": {"enum": ["attributes", "text"], "default": "attributes", "title": "Keep with"},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ]
}


_GRANTS: dict[str, dict[str, str]] = {
    "client_credentials": {
        "title": "Client credentials",
        "description": "The application itself, as its OAuth application user. Nobody has to sign in.",
    },
    "password": {
        "title": "User name and password",
        "description": "Tokens for the user named here. Nobody has to sign in.",
    },
    "authorization_code": {
        "title": "Sign in with a browser",
        "description": "Somebody signs in at the instance once; access is renewed from then on.",
    },
}


class ServiceNowConfig(SyncConfig):
    """What every way of signing in shares."""

    url: Annotated[str, Field(max_length=2000), AfterValidator(address_like("https://instance.service-now.com"))] = (
        Field(
            title="Instance URL",
            description="Address of the ServiceNow instance.",
            examples=["https://dev12345.service-now.com"],
        )
    )
    filter: Annotated[str, AfterValidator(_filter)] = Field(
        "",
        title="Filter",
        description="Encoded query that limits which records are read; without ORDERBY, ^NQ and javascript:.",
        examples=["active=true^priority<=2"],
    )
    table: Annotated[str, AfterValidator(_table)] = Field(
        "incident", title="Table", description="Table to read, incident where nothing else is said."
    )
    fields: tuple[
        Annotated[ColumnChoice, PlainValidator(read_choice), WithJsonSchema(_CHOICE_SCHEMA, mode="validation")], ...
    ] = Field(
        (),
        max_length=50,
        title="More columns",
        description="Columns of the table to keep beside the usual ones: as attributes, or in the text, where they "
        "are searched. One that moves with every update makes every update a change.",
        examples=[["u_business_unit", {"name": "u_details", "to": "text"}]],
    )

    @property
    def base_url(self) -> str:
        """The address without a slash at its end."""
        return self.url.rstrip("/")


class BasicAuthConfig(ServiceNowConfig):
    """Signing in with user name and password."""

    username: Text = Field(
        title="User name", description="A user with read access, such as the role sn_incident_read.", examples=["sync"]
    )
    password: Secret = Field(title="Password", description="Password of that user.")


class ApiTokenConfig(ServiceNowConfig):
    """Signing in with an API key of the instance, sent as `x-sn-apikey`."""

    api_token: HeaderSecret = Field(
        title="API key", description="An API key bound to a user with read access (REST API Key record)."
    )


class OAuth2Config(ServiceNowConfig):
    """Signing in through an OAuth application of the instance."""

    client_id: Text = Field(
        title="Client ID",
        description="Client ID of the OAuth application (Application Registry).",
        examples=["3f0a6d5c1b2e4f7a9c8d7e6f5a4b3c2d"],
    )
    client_secret: Secret = Field(title="Client secret", description="Client secret of the OAuth application.")
    grant: Grant = Field(
        "client_credentials",
        title="Grant",
        description="How tokens are got.",
        json_schema_extra={"oneOf": [{"const": name, **about} for name, about in _GRANTS.items()]},
    )
    username: Text | None = Field(
        None, title="User name", description="Only for the grant password: whom tokens are for.", examples=["sync"]
    )
    password: Secret | None = Field(
        None, title="Password", description="Only for the grant password: that user's password."
    )


CONFIGS: dict[str, type[ServiceNowConfig]] = {
    "basic_auth": BasicAuthConfig,
    "api_token": ApiTokenConfig,
    "oauth2": OAuth2Config,
}
REQUIRED_BY_GRANT = {"password": ("username", "password")}
"""Keys that the grants of oauth2 need beside those that all of them need."""
