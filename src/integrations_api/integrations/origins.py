"""Where a config points to: the places a secret could be sent, compared as origins.

A secret that is kept through an edit must not reach another host than the one it was entered for. So every key
that names an address counts (`url`, but also `token_url` and the like, at any depth), for known services and for
others: an integration can be renamed to a known service later.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from integrations_api.connectors.services import origin
from integrations_api.integrations.pointers import child

_PLAIN_URL = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[^\s/?#@:\\%\[\]\x00-\x20\x7f]+)(?::[1-9]\d{0,4})?(?:[/?#][^\s\x00-\x1f\x7f]*)?",
    re.IGNORECASE,
)
"""URLs that every parser reads alike; in doubt two URLs are compared as they are spelt."""
_CREDENTIALS = re.compile(r"[a-z0-9+.-]://[^/?#\s]*@", re.IGNORECASE)
"""Of the scheme its last sign is enough: where it begins would be looked for from every letter of a long text."""


def _target(value: Any) -> Any:
    """Where an address points to: its origin in normal form, or the value itself where that cannot be told."""
    return origin(value) if isinstance(value, str) and _PLAIN_URL.fullmatch(value) else value


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
                yield child(pointer, key), _target(value)
            else:
                yield from _targets(value, child(pointer, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(value, child(pointer, index))
