"""Where a config points to: the places a secret could be sent, compared as origins.

A secret that is kept through an edit must not reach another host than the one it was entered for. So every key
that names an address counts (`url`, but also `token_url` and the like, at any depth), for known services and for
others: an integration can be renamed to a known service later.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import idna

from integrations_api.integrations.pointers import child

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\s/?#@:\\%\[\]\x00-\x20\x7f]+)(?::(?P<port>\d{0,5}))?"
    r"(?:[/?#][^\s\x00-\x1f\x7f]*)?",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]*@", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port in normal form; the port is None for schemes without a usual one."""

    scheme: str
    host: str
    port: int | None


def origin_of(url: str) -> Origin | None:
    """The origin of an absolute URL; None for whatever cannot be read without doubt.

    Host names are lower case, in ASCII (IDNA 2008, as httpx encodes them), without a trailing dot.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return None
    host = _normal_host(match["host"])
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS.get(scheme)
    if host is None or (port is not None and port > 65535):
        return None
    return Origin(scheme, host, port)


def _normal_host(host: str) -> str | None:
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host[1:-1]).compressed
        if not host.isascii():
            host = idna.encode(host.lower()).decode("ascii")
    except (ValueError, UnicodeError):
        return None
    return host.lower().removesuffix(".") or None


def holds_credentials(text: str) -> bool:
    """Whether a user name or password stands in a URL somewhere in the text."""
    return _CREDENTIALS.search(text) is not None


def names_an_address(key: str) -> bool:
    """Whether values under this key say where requests go: `url`, `token_url`, `baseUrl`, `redirect-uri`."""
    letters = re.sub(r"[^a-z]", "", key.lower())
    return letters.endswith(("url", "uri"))


def points_elsewhere(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a secret entered for `before` could reach another origin under `after`.

    `url` must stay where it was, present or absent; every other address must stay, go, or point to the origin
    that `url` had before.
    """
    old, new = dict(_targets(before, "")), dict(_targets(after, ""))
    home = old.get("/url")
    if new.get("/url") != home:
        return True
    return any(target not in {old.get(pointer), home} for pointer, target in new.items())


def _targets(node: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """Every address with its place: an origin, or the value itself where it is not a URL."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if names_an_address(key) and not isinstance(value, Mapping | list):
                yield child(pointer, key), (origin_of(value) or value) if isinstance(value, str) else value
            else:
                yield from _targets(value, child(pointer, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, child(pointer, index))
