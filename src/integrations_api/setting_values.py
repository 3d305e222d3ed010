"""How values of settings are written, and what is refused of them: the types that `settings` is made of."""

import os
import re
import ssl
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_DURATION = re.compile(r"(\d+)\s*(s|m|h|d)?")
_UNITS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=36_500)
"""Dates end not far before and after that."""
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_SERVICE = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?", re.IGNORECASE)
_SERVER = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@\s]*)(:[0-9]{0,5})?", re.IGNORECASE)
_FILES_OF_TLS = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
"""Of one that is not there the driver says what it says of a server that does not run."""


def _duration(value: Any) -> Any:
    """Reads `90`, `90s`, `5m`, `2h` or `1d`; a bare number means seconds."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip().lower())
        if match is None:
            raise ValueError("expected a duration such as 90s, 5m, 2h or 1d")
        seconds = int(match[1]) * _UNITS[match[2]]
        if seconds > _LONGEST.total_seconds():
            raise ValueError(f"expected at most {_LONGEST.days}d, which is a hundred years")
        return timedelta(seconds=seconds)
    return value


def _words(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(word for word in re.split(r"[,\s]+", value) if word)
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


def _second_to_day(value: timedelta) -> timedelta:
    """PostgreSQL ends transactions that stand for so long, and counts to 24 days."""
    if not timedelta(seconds=1) <= value <= timedelta(days=1):
        raise ValueError("expected 1s at least and 1d at most")
    return value


def _from_home(value: Path) -> Path:
    """`~` as a shell reads it: in `.env`, and from a supervisor, no shell has."""
    return Path(os.path.expanduser(value))  # Which leaves it where nobody knows whose home is meant.


def _holds_certificates(path: Path) -> Path:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError:  # Also ssl.SSLError, for what is no certificate.
        raise ValueError("cannot be read as PEM certificates") from None
    return path


def _names_a_file(value: str) -> str:
    path = os.path.expanduser(value)
    if path and not Path(path).name:
        raise ValueError("expected the path of a file; leave it empty to have none")
    return path


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_ORIGIN.fullmatch(value) for value in values):
        raise ValueError("expected origins such as https://admin.example.com, without a path; * is not one")
    return values


def _proxies(values: tuple[str, ...]) -> tuple[str, ...]:
    """What is no address would be compared with addresses for ever, and never be one."""
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise ValueError(
                "expected addresses or ranges such as 10.0.0.5 or 10.0.0.0/24; a name or * is neither"
            ) from None
    return values


def is_address_of_a_service(text: str) -> bool:
    """Whether it is an http(s) URL with a host, and with neither query nor user name."""
    try:
        parts = urlsplit(text)
        return _SERVICE.fullmatch(text) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def names_one_server(rest: str) -> bool:
    """Otherwise a part of an unescaped password would be taken for the host or the port, and told in errors."""
    return _SERVER.fullmatch(_server_of(rest)) is not None


def names_several_servers(rest: str) -> bool:
    """The driver asks them in turn within one time limit: the first one that is silent uses all of it up, as a machine
    without power is."""
    servers = _server_of(rest).split(",")
    in_the_query = any("," in value for name, value in parse_qsl(rest.partition("?")[2]) if name == "host")
    return in_the_query or (len(servers) > 1 and all(_SERVER.fullmatch(server) for server in servers))


def _server_of(rest: str) -> str:
    return re.split(r"[/?]", rest.partition("@")[2] if "@" in rest else rest)[0]


def missing_file_of_tls(rest: str) -> str | None:
    """The first parameter of a database's URL that names a file of TLS which is not there."""
    named = (
        name for name, file in parse_qsl(rest.partition("?")[2]) if name in _FILES_OF_TLS and not Path(file).is_file()
    )
    return next(named, None)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
PositiveDuration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
SecondToDay = Annotated[Duration, AfterValidator(_second_to_day)]
HomePath = Annotated[Path, AfterValidator(_from_home)]
Authorities = Annotated[HomePath, AfterValidator(_holds_certificates)]
FileName = Annotated[str, AfterValidator(_names_a_file)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Origins = Annotated[Words, AfterValidator(_origins)]
Proxies = Annotated[Words, AfterValidator(_proxies)]
