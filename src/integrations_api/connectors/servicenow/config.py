"""What a ServiceNow integration is told, for each way of signing in; forms are built from its JSON Schemas."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

import httpx
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from integrations_api.connectors.servicenow.query import COLUMN, clean_filter, filter_problem

_DURATION = re.compile(r"(\d{1,9})\s*([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,79}")


def web_address(text: str) -> str:
    """An http(s) URL without credentials, query or fragment, as it was given. Raises ValueError."""
    wrong = "must be an http(s) URL such as https://instance.service-now.com"
    text = text.strip()
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise ValueError(wrong) from None
    if "@" in text.partition("//")[2].partition("/")[0] or url.userinfo:
        raise ValueError("must not hold credentials: enter them in their own fields")
    if url.scheme not in {"http", "https"} or not url.host or not text.isprintable() or " " in text:
        raise ValueError(wrong)
    if url.port is not None and not 1 <= url.port <= 65535:
        raise ValueError("must have a port between 1 and 65535")
    if "?" in text or "#" in text:
        raise ValueError("must be the address of the instance, without ? or #")
    return text


def _filter(text: str) -> str:
    if problem := filter_problem(text):
        raise ValueError(problem)
    return clean_filter(text)


def _table(text: str) -> str:
    if not _TABLE.fullmatch(text):
        raise ValueError("must be the name of a table, such as incident")
    return text


def _column(text: str) -> str:
    if not COLUMN.fullmatch(text) or len(text) > 200:
        raise ValueError("must be the name of a column, such as u_business_unit or caller_id.email")
    return text


def _overlap(value: Any) -> Any:
    match = _DURATION.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is not None:
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    if type(value) is int:
        return timedelta(seconds=value)
    raise ValueError("must be a duration such as 90s, 5m or 2h")


def _short_enough(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= timedelta(days=31):
        raise ValueError("must be between 0 and 31 days")
    return value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise ValueError("must not be empty")
    return value


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class ServiceNowConfig(BaseModel):
    """What every way of signing in shares; keys that are not named here are kept and ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, Field(max_length=2000), AfterValidator(web_address)] = Field(
        title="Instance URL",
        description="Address of the ServiceNow instance.",
        examples=["https://dev12345.service-now.com"],
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
    fields: tuple[Annotated[str, AfterValidator(_column)], ...] = Field(
        (),
        max_length=50,
        title="More columns",
        description="Columns to keep as attributes beside the usual ones.",
        examples=[["u_business_unit"]],
    )
    page_size: int | None = Field(
        None, ge=1, le=10_000, title="Page size", description="Records asked for in one request (SYNC_PAGE_SIZE)."
    )
    overlap: Annotated[timedelta, AfterValidator(_short_enough), BeforeValidator(_overlap)] | None = Field(
        None,
        title="Overlap",
        description="How far an incremental sync reads back behind its watermark (SYNC_OVERLAP).",
        examples=["5m"],
        json_schema_extra={"anyOf": [{"type": "string", "pattern": r"^\d+\s*[smhd]?$"}, {"type": "integer"}]},
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

    api_token: Annotated[Secret, AfterValidator(_header_value)] = Field(
        title="API key", description="An API key bound to a user with read access (REST API Key record)."
    )


class OAuth2Config(ServiceNowConfig):
    """Signing in through an OAuth application of the instance."""

    client_id: Text = Field(title="Client ID", description="Client ID of the OAuth application.")
    client_secret: Secret = Field(title="Client secret", description="Client secret of the OAuth application.")
    grant: Literal["client_credentials", "password", "authorization_code"] = Field(
        "client_credentials", title="Grant", description="How tokens are got."
    )
    username: Text | None = Field(None, title="User name", description="Only for the grant password.")
    password: Secret | None = Field(None, title="Password", description="Only for the grant password.")

    @model_validator(mode="after")
    def _password_grant_has_a_user(self) -> "OAuth2Config":
        if self.grant == "password" and (self.username is None or self.password is None):
            raise ValueError("the grant password needs username and password")
        return self


CONFIGS: dict[str, type[ServiceNowConfig]] = {
    "basic_auth": BasicAuthConfig,
    "api_token": ApiTokenConfig,
    "oauth2": OAuth2Config,
}
