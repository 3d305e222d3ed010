"""Whether a host answers at all: one HEAD request without credentials, through the egress guard."""

import asyncio
import re
import time
from dataclasses import replace
from datetime import timedelta

import httpx
from msgspec import Struct

from integrations_api.connectors.errors import Unreachable
from integrations_api.connectors.http import translated
from integrations_api.connectors.services import origin
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused

_PLAIN_ORIGIN = re.compile(r"https?://[^\s/@?#]+:\d+")
_UNNAMED = "an address that is no URL"


class Reached(Struct, frozen=True):
    """A host's answer: any status shows that it can be reached."""

    status: int
    seconds: float


async def reach(url: str, policy: EgressPolicy, *, within: timedelta) -> Reached:
    """Asks the root of the URL's host. Raises `ConnectorError`, in words that are fit to be shown."""
    bounded = replace(policy, timeout=within, connect_timeout=min(within, policy.connect_timeout))
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(within.total_seconds()),
            open_client(bounded, origin(url)) as client,
            client.stream("HEAD", "/") as answer,
        ):
            return Reached(status=answer.status_code, seconds=time.monotonic() - began)
    except (TimeoutError, httpx.TimeoutException):
        raise Unreachable(
            f"No answer within {within.total_seconds():.0f} s", "Ask whether a firewall is in between"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, EgressRefused, UnicodeError) as error:
        raise translated(error) from error


def shown_origin(url: str) -> str:
    """Scheme, host and port as people read them; never anything else of a URL."""
    plain = origin(url)
    if not _PLAIN_ORIGIN.fullmatch(plain):
        return _UNNAMED
    return plain.removesuffix(":443" if plain.startswith("https") else ":80")
