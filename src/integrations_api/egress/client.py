"""Opens HTTP clients for the outside world; there is no other way out of this service."""

import ssl
from pathlib import Path
from typing import Any

import httpx

from integrations_api.egress.guard import EgressPolicy, EgressRefused, Target, check_target, refusals_counted, target_of
from integrations_api.egress.lookup import Resolver, system_resolver
from integrations_api.egress.transport import GuardedTransport
from integrations_api.errors import ConfigurationError

USER_AGENT = "integrations-api"


class GuardedClient(httpx.AsyncClient):
    """An httpx client that follows no redirect, whoever asks it to."""

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        return await super().send(request, **{**options, "follow_redirects": False})


def open_client(
    policy: EgressPolicy,
    base_url: str,
    *,
    auth: httpx.Auth | None = None,
    resolver: Resolver = system_resolver,
) -> httpx.AsyncClient:
    """A client for one origin; use it as an async context manager.

    Paths given to it are relative to `base_url`. Raises `EgressRefused` where the URL itself is not allowed; each
    connect is checked again and raises the same. Nothing is taken from the environment (proxies, netrc):
    a proxy is used by the policy only.
    """
    with refusals_counted():
        origin = check_url(base_url, policy)
    return GuardedClient(
        base_url=base_url,
        auth=auth,
        transport=GuardedTransport(origin=origin, policy=policy, tls=_tls(origin, policy), resolver=resolver),
        timeout=httpx.Timeout(policy.timeout.total_seconds(), connect=policy.connect_timeout.total_seconds()),
        headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
        follow_redirects=False,
        trust_env=False,
    )


def check_url(url: str, policy: EgressPolicy) -> Target:
    """What can be said about a URL without a look-up. Raises `EgressRefused`."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise EgressRefused("The URL is malformed") from None
    if parsed.userinfo:
        raise EgressRefused("A URL must not hold credentials")
    target = target_of(scheme=parsed.scheme, host=parsed.raw_host.decode("ascii"), port=parsed.port)
    check_target(target, policy)
    return target


def _tls(origin: Target, policy: EgressPolicy) -> ssl.SSLContext | None:
    """What https is verified by; reading the authorities takes tens of milliseconds, so plain http goes without."""
    proxy = policy.proxy_for(origin)
    if "https" not in {origin.scheme, proxy.at.scheme if proxy else ""}:
        return None
    context = httpx.create_ssl_context(trust_env=False)
    if policy.ca_file is not None:
        _trust(context, policy.ca_file)
    return context


def _trust(context: ssl.SSLContext, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=str(ca_file))
    except (OSError, ssl.SSLError):
        raise ConfigurationError("Wrong settings: EGRESS_CA_FILE: cannot be read as PEM certificates") from None
