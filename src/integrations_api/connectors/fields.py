"""Fields that the configs of several services share: how they are checked, and what forms are told of them."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

_DURATION = re.compile(r"(\d{1,9})\s*([smhd]?)")
_WRONG_LENGTH = "must be between 0 and 31 days"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def address_like(example: str) -> Callable[[str], str]:
    """Checks for an http(s) URL without credentials, query or fragment, and leaves it as it was given."""
    return partial(_web_address, example=example)


def _web_address(text: str, *, example: str) -> str:
    import httpx

    wrong = f"must be an http(s) URL such as {example}"
    text = text.strip()
    try:
        url = httpx.URL(text)
        host = url.host
    except (httpx.InvalidURL, ValueError):
        raise ValueError(wrong) from None
    if "@" in text.partition("//")[2].partition("/")[0] or url.userinfo:
        raise ValueError("must not hold credentials: enter them in their own fields")
    if url.scheme not in {"http", "https"} or not host or not text.isprintable() or " " in text:
        raise ValueError(wrong)
    if url.port is not None and not 1 <= url.port <= 65535:
        raise ValueError("must have a port between 1 and 65535")
    if "?" in text or "#" in text:
        raise ValueError("must be the address of the instance, without ? or #")
    return text


def _no_flag(value: Any) -> Any:
    """`true` would count as 1."""
    if value is True or value is False:
        raise ValueError("must be a whole number")
    return value


def _overlap(value: Any) -> Any:
    match = _DURATION.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is not None:
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    if type(value) is int:
        try:
            return timedelta(seconds=value)
        except OverflowError:
            raise ValueError(_WRONG_LENGTH) from None
    raise ValueError("must be a duration such as 90s, 5m or 2h")


def _short_enough(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= timedelta(days=31):
        raise ValueError(_WRONG_LENGTH)
    return value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise ValueError("must not be empty")
    return value


def header_value(value: SecretStr) -> SecretStr:
    """For secrets that are sent in a header as they are. Raises ValueError for what cannot be."""
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
HeaderSecret = Annotated[Secret, AfterValidator(header_value)]
"""A secret that is sent in a header as it is."""


class SyncConfig(BaseModel):
    """What every service can be told about reading; keys that a config does not name are kept and ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    page_size: Annotated[int | None, BeforeValidator(_no_flag)] = Field(
        None, ge=1, le=10_000, title="Page size", description="Records asked for in one request (SYNC_PAGE_SIZE)."
    )
    overlap: Annotated[timedelta, AfterValidator(_short_enough), BeforeValidator(_overlap)] | None = Field(
        None,
        title="Overlap",
        description="How far an incremental sync reads back behind its watermark (SYNC_OVERLAP).",
        examples=["5m"],
        json_schema_extra={
            "anyOf": [{"type": "string", "pattern": r"^\d+\s*[smhd]?$"}, {"type": "integer"}, {"type": "null"}]
        },
    )
