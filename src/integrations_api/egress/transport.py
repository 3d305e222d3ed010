"""The guarded transport under httpx: resolves once, checks, connects to exactly what was checked, bounds what returns.

With EGRESS_PROXY set it connects to that proxy instead, by `egress.proxy`.

The pool underneath is httpcore's; TLS keeps the host name for SNI and verification while the socket goes to the
checked address, and the Host header is untouched.
"""

import asyncio
import itertools
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import httpcore
import httpx

from integrations_api.egress.addresses import Address
from integrations_api.egress.guard import (
    EgressPolicy,
    EgressRefused,
    Proxy,
    Target,
    check_addresses,
    check_target,
    refusals_counted,
    target_of,
)
from integrations_api.egress.lookup import Resolver, look_up, system_resolver
from integrations_api.egress.proxy import ProxiedBackend, ProxyFailed, failed_with
from integrations_api.tasks import finish

_MOST_ADDRESSES = 4
_MAX_CONNECTIONS = 32
_KEEPALIVE_SECONDS = 20.0
_CHUNK = 1 << 18
_IN_A_TURN = 100
"""Pieces of an answer that are handed on before others get a turn. Those that have come together, ten thousand single
bytes in one read, are waited for by nothing, and kept everybody else waiting for a second."""


class ResponseTooLarge(httpx.DecodingError):
    """The answer passed `EgressPolicy.max_response_bytes`, as it came or decompressed."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to names of one scheme: look up once, check every address, then use these and no others."""

    def __init__(self, *, scheme: str, policy: EgressPolicy, resolver: Resolver) -> None:
        self._scheme = scheme
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
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._policy.connect_timeout.total_seconds() if timeout is None else timeout)
        target = target_of(scheme=self._scheme, host=host, port=port)
        addresses = await look_up(target, self._resolver, deadline)
        check_addresses(target, addresses, self._policy)
        return await self._connect(addresses[:_MOST_ADDRESSES], port, deadline)

    async def _connect(self, addresses: Sequence[Address], port: int, deadline: float) -> httpcore.AsyncNetworkStream:
        """Tries the addresses in turn, each with an even share of the time that is left."""
        loop = asyncio.get_running_loop()
        for tried, address in enumerate(addresses):
            share = max(0.001, deadline - loop.time()) / (len(addresses) - tried)
            try:
                return await self._network.connect_tcp(str(address), port, timeout=share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if tried + 1 == len(addresses):
                    raise
        raise httpcore.ConnectError("the name has no address")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise EgressRefused("Unix sockets are not reachable from here")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class GuardedTransport(httpx.AsyncBaseTransport):
    """What every outbound request passes; bound to one origin, so that credentials cannot be sent to another."""

    def __init__(
        self, *, origin: Target, policy: EgressPolicy, tls: ssl.SSLContext | None, resolver: Resolver = system_resolver
    ) -> None:
        self._origin = origin
        self._policy = policy
        self._proxy = policy.proxy_for(origin)
        self._pool = self._open_pool(self._proxy, tls, resolver)

    def _open_pool(
        self, proxy: Proxy | None, tls: ssl.SSLContext | None, resolver: Resolver
    ) -> httpcore.AsyncConnectionPool:
        origin, policy = self._origin, self._policy
        if proxy is None:
            return httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=_MAX_CONNECTIONS,
                keepalive_expiry=_KEEPALIVE_SECONDS,
                network_backend=GuardedBackend(scheme=origin.scheme, policy=policy, resolver=resolver),
            )
        return httpcore.AsyncHTTPProxy(
            # Never https: the backend has made that connection secure already.
            httpcore.URL(scheme="http", host=proxy.at.host, port=proxy.at.port, target="/"),
            proxy_auth=proxy.credentials,
            ssl_context=tls,
            max_connections=_MAX_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=ProxiedBackend(target=origin, proxy=proxy, tls=tls, policy=policy, resolver=resolver),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with refusals_counted():
            return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        check_request(request, self._origin, self._policy)
        deadline = asyncio.get_running_loop().time() + self._policy.timeout.total_seconds()
        async with _Translated():
            async with asyncio.timeout_at(deadline):
                answer = await self._pool.handle_async_request(_as_httpcore(request))
        # In plain http the proxy answers in the target's place, and no target asks for a proxy's credentials.
        if self._proxy is not None and self._origin.scheme == "http" and answer.status == 407:
            await answer.aclose()
            raise failed_with(407)
        # No Set-Cookie gets past here: ServiceNow serialises the requests of one session and pins it to a node.
        headers = [(key, value) for key, value in answer.headers if key.lower() != b"set-cookie"]
        encoding = httpx.Headers(headers).get("content-encoding", "identity").strip().lower()
        headers = [(key, value) for key, value in headers if key.lower() != b"content-encoding"]
        stream = _BoundedStream(answer, encoding, deadline, self._policy.max_response_bytes)
        return httpx.Response(answer.status, headers=headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        """Closes every connection. What httpcore shields this with does not keep off a task's own cancelling."""
        await finish(self._pool.aclose())


def check_request(request: httpx.Request, origin: Target, policy: EgressPolicy) -> None:
    """The rules for one request's URL. Raises `EgressRefused`."""
    url = request.url
    if url.userinfo:
        raise EgressRefused("A URL must not hold credentials")
    target = target_of(scheme=url.scheme, host=url.raw_host.decode("ascii"), port=url.port)
    if target != origin:
        raise EgressRefused("The request leaves the address it was configured for")
    check_target(target, policy)


def _as_httpcore(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        # `sni_hostname` and `trace` could undo the guard's promises; only time limits pass.
        extensions={"timeout": request.extensions.get("timeout", {})},
    )


class _Translated:
    """Turns httpcore's errors into httpx's of the same name, and a passed deadline into a read time-out."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        if isinstance(error, TimeoutError):
            raise httpx.ReadTimeout("the answer took too long") from error
        if isinstance(error, httpcore.ProxyError):
            # It begins with the status; the rest is the proxy's text, which may repeat what it was sent.
            raise _failed(str(error)) from None
        module = type(error).__module__.partition(".")[0]
        if error is not None and module == "httpcore":
            raise _twin(type(error))(str(error)) from error


def _failed(said: str) -> ProxyFailed:
    status = said.partition(" ")[0]
    return failed_with(int(status) if status.isdigit() else 502)


def _twin(kind: type[BaseException]) -> type[httpx.TransportError]:
    for ancestor in kind.__mro__:
        twin = getattr(httpx, ancestor.__name__, None)
        if isinstance(twin, type) and issubclass(twin, httpx.TransportError):
            return twin
    return httpx.TransportError


class _BoundedStream(httpx.AsyncByteStream):
    """The body, decompressed piece by piece and cut off with an error where it passes a bound."""

    def __init__(self, answer: httpcore.Response, encoding: str, deadline: float, most_bytes: int) -> None:
        self._answer = answer
        self._encoding = encoding
        self._deadline = deadline
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        inflate = _decoder(self._encoding)
        raw = total = 0
        async for chunk in self._chunks():
            raw += len(chunk)
            self._bound(raw)
            for piece in inflate(chunk):
                total += len(piece)
                self._bound(total)
                yield piece

    async def _chunks(self) -> AsyncIterator[bytes]:
        iterator = self._answer.aiter_stream()
        for number in itertools.count(1):
            async with _Translated():
                try:
                    async with asyncio.timeout_at(self._deadline):
                        chunk = await anext(iterator)
                        if number % _IN_A_TURN == 0:
                            await asyncio.sleep(0)
                except StopAsyncIteration:
                    return
            yield chunk

    def _bound(self, count: int) -> None:
        if count > self._most_bytes:
            raise ResponseTooLarge("the answer is larger than EGRESS_MAX_RESPONSE_BYTES")

    async def aclose(self) -> None:
        await self._answer.aclose()


Inflate = Callable[[bytes], Iterable[bytes]]


def _decoder(encoding: str) -> Inflate:
    """A function that decompresses in pieces of bounded size; a bomb is noticed before it is unpacked."""
    if encoding in {"", "identity"}:
        return lambda chunk: (chunk,)
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise httpx.DecodingError("the answer is compressed in a way that was not asked for")
    machine = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: tells gzip from zlib by the header

    def inflate(chunk: bytes) -> Iterable[bytes]:
        try:
            # What follows the end is passed over: zlib would keep all of it, copied anew with each piece.
            while chunk and not machine.eof:
                yield machine.decompress(chunk, _CHUNK)
                chunk = machine.unconsumed_tail
        except zlib.error as error:
            raise httpx.DecodingError("the answer is not properly compressed") from error

    return inflate
