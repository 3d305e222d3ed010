"""The way out through the operator's forward proxy: what is checked before it is asked, and what its failures mean.

The pool of `egress.transport` speaks to the proxy; here are the connection underneath, and the words for its errors.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from integrations_api.egress.guard import (
    EgressPolicy,
    EgressRefused,
    Proxy,
    Target,
    check_addresses,
    check_unresolved,
)
from integrations_api.egress.lookup import Resolver, look_up

_PASSING = frozenset({408, 429})


class ProxyFailed(httpx.ProxyError):
    """The proxy was not reached, or did not let us through; fit to be shown, for it is told in our words alone.

    `may_pass` says whether the same request may get through later.
    """

    def __init__(self, message: str, remedy: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.may_pass = may_pass


def failed_with(status: int) -> ProxyFailed:
    """What a proxy means that answers with this status instead of connecting."""
    if status == 407:
        return ProxyFailed(
            "The proxy wants other credentials (407)", "Correct user and password in EGRESS_PROXY", may_pass=False
        )
    if status >= 500:
        remedy = "Check the URL, and ask who runs the proxy whether it reaches the host"
        return ProxyFailed(f"The proxy could not connect to the host ({status})", remedy, may_pass=True)
    remedy = "Have the proxy allow the host and its port, or name the host in EGRESS_NO_PROXY if it is reached directly"
    return ProxyFailed(f"The proxy does not connect to the host ({status})", remedy, may_pass=status in _PASSING)


class ProxiedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the proxy, and to nothing else, each time after the target was checked as far as is known here.

    TLS with an https proxy is made here too, so that its failures are not taken for those of the target.
    """

    def __init__(
        self, *, target: Target, proxy: Proxy, tls: ssl.SSLContext | None, policy: EgressPolicy, resolver: Resolver
    ) -> None:
        self._target = target
        self._proxy = proxy
        self._tls = tls
        self._policy = policy
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        patience = self._policy.connect_timeout.total_seconds() if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + patience
        # Where names are not looked up, that may show by silence alone: half of the time is left for the proxy.
        await self._check_target(deadline - patience / 2)
        stream = await self._connect(deadline)
        return _BeforeTunnel(stream, patience) if self._target.scheme == "https" else stream

    async def _check_target(self, deadline: float) -> None:
        """Raises `EgressRefused`. The proxy looks the name up itself: what it may reach inside is its own rule."""
        if ":" in self._target.host:
            raise EgressRefused("An IPv6 address is not asked of a proxy; use a host name, or EGRESS_NO_PROXY")
        try:
            addresses = await look_up(self._target, self._resolver, deadline)
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            check_unresolved(self._target, self._policy)
        else:
            check_addresses(self._target, addresses, self._policy)

    async def _connect(self, deadline: float) -> httpcore.AsyncNetworkStream:
        at = self._proxy.at
        try:
            stream = await self._network.connect_tcp(at.host, at.port, timeout=_left(deadline))
            if at.scheme == "http":
                return stream
            context = self._tls or httpx.create_ssl_context(trust_env=False)
            return await stream.start_tls(context, at.host, timeout=_left(deadline))
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise _unreachable(error) from error

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise EgressRefused("Unix sockets are not reachable from here")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _left(deadline: float) -> float:
    return max(0.001, deadline - asyncio.get_running_loop().time())


def _unreachable(error: Exception) -> ProxyFailed:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            remedy = "Name the certificate authority in EGRESS_CA_FILE, or the proxy by the name of its certificate"
            return ProxyFailed("The TLS certificate of the proxy is not trusted", remedy, may_pass=False)
        if isinstance(cause, ssl.SSLError):
            remedy = "Check whether EGRESS_PROXY is to begin with http:// or https://"
            return ProxyFailed("No secure connection to the proxy could be made", remedy, may_pass=True)
        cause = cause.__cause__ or cause.__context__
    return ProxyFailed("The proxy cannot be reached", "Check EGRESS_PROXY, and that the proxy runs", may_pass=True)


class _BeforeTunnel(httpcore.AsyncNetworkStream):
    """The connection until the tunnel stands: the proxy's answer is waited for as long as for a connection.

    TLS with the target goes over what is underneath; from then on nothing of this is in the way.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, patience: float) -> None:
        self._stream = stream
        self._patience = patience

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        shorter = self._patience if timeout is None else min(timeout, self._patience)
        try:
            return await self._stream.read(max_bytes, shorter)
        except httpcore.ReadTimeout as error:
            remedy = "Check the URL, and ask who runs the proxy whether it reaches the host"
            raise ProxyFailed("The proxy did not connect to the host in time", remedy, may_pass=True) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return await self._stream.start_tls(ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
