"""The rules of the way out: which URL may be asked for, and which address may be connected to.

Rules about the URL are checked for each request, rules about addresses on each connect, after the one look-up
whose answer is then used.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from msgspec import Struct
from pydantic import SecretStr

from integrations_api.egress.addresses import OPENED_BY_NAME, Address, Network, as_address, forbidden_kind, unwrapped
from integrations_api.errors import ApplicationError, ConfigurationError
from integrations_api.metrics import EGRESS_REFUSALS

DEFAULT_PORTS = {"https": 443, "http": 80}
OPEN_PORTS = frozenset({443, 8443})
"""Ports of hosts that no setting names; with all of them open, the service could scan other people's networks."""

_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE)
_SETTING = "EGRESS_ALLOWED_HOSTS"


class EgressRefused(ApplicationError):
    """This service does not connect there. The message names host and setting, never path, query or credentials."""


@contextmanager
def refusals_counted() -> Iterator[None]:
    """Around what may be refused, where the refusal leaves the guard."""
    try:
        yield
    except EgressRefused:
        EGRESS_REFUSALS.inc()
        raise


class Target(Struct, frozen=True):
    """Where a request goes; `host` is lower case, without brackets or a trailing dot."""

    scheme: str
    host: str
    port: int
    address: Address | None
    """The address, where the host is one and not a name."""

    @property
    def shown(self) -> str:
        """Host and port, as messages name them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if DEFAULT_PORTS[self.scheme] == self.port else f"{host}:{self.port}"


class Proxy(Struct, frozen=True):
    """The operator's forward proxy: `at` by http or https, and what proves us to it, where anything does."""

    at: Target
    user: str | None = None
    password: SecretStr | None = None

    @property
    def credentials(self) -> tuple[bytes, bytes] | None:
        """User and password as they are sent; None where there are none."""
        if self.user is None or self.password is None:
            return None
        return self.user.encode(), self.password.get_secret_value().encode()


class _Entry(Struct, frozen=True):
    """One entry of EGRESS_ALLOWED_HOSTS or EGRESS_NO_PROXY: a name or a network, at one port or any."""

    host: str | None
    network: Network | None
    port: int | None

    def names(self, target: Target) -> bool:
        return self.host == target.host and self.port in {None, target.port}

    def contains(self, address: Address, port: int) -> bool:
        plain = unwrapped(address)
        network = self.network
        return network is not None and plain.version == network.version and plain in network and self._at(port)

    def _at(self, port: int) -> bool:
        return self.port in {None, port}


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What may leave this process, and how much may come back.

    `allowed_hosts` entries are `host`, `host:port`, an address (`10.0.0.5`, `[::1]:8443`) or a CIDR range: they may
    be reached though private, by plain http, or at an unusual port. `timeout` bounds one request from the look-up
    to the last byte; `max_response_bytes` bounds an answer, both as it comes and decompressed. With a `proxy`,
    everything goes through it but what an entry of `no_proxy` names; both change nothing in what is allowed.

    Raises `ConfigurationError` for a malformed entry.
    """

    allowed_hosts: Sequence[str] = ()
    ca_file: Path | None = None
    timeout: timedelta = timedelta(seconds=70)
    max_response_bytes: int = 200_000_000
    connect_timeout: timedelta = timedelta(seconds=10)
    proxy: Proxy | None = None
    no_proxy: Sequence[str] = ()
    _allowed: tuple[_Entry, ...] = field(init=False, repr=False, compare=False)
    _direct: tuple[_Entry, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allowed", tuple(_read_entry(entry, _SETTING) for entry in self.allowed_hosts))
        object.__setattr__(self, "_direct", tuple(_read_entry(entry, "EGRESS_NO_PROXY") for entry in self.no_proxy))

    def proxy_for(self, target: Target) -> Proxy | None:
        """The proxy that a target is asked of. A range of `no_proxy` is for addresses in URLs, not for names."""
        at = target.address
        direct = any(e.names(target) or (at is not None and e.contains(at, target.port)) for e in self._direct)
        return None if direct else self.proxy

    def opens(self, target: Target) -> bool:
        """Whether an entry names the target itself (host, or host and port)."""
        by_address = target.address is not None and self.opens_address(target.address, target.port)
        return by_address or any(entry.names(target) for entry in self._allowed)

    def opens_address(self, address: Address, port: int) -> bool:
        """Whether an entry names the address or a range around it."""
        return any(entry.contains(address, port) for entry in self._allowed)

    @property
    def has_ranges(self) -> bool:
        """Whether only the resolved address can tell if a name is allowed."""
        return any(entry.network is not None for entry in self._allowed)


def _read_entry(entry: str, setting: str) -> _Entry:
    """Reads one entry; in doubt about colons, brackets decide."""
    wrong = ConfigurationError(f"Wrong settings: {setting}: {entry!r} is no host, host:port or CIDR range")
    try:
        return _Entry(None, ipaddress.ip_network(entry.strip("[]"), strict=True), None)
    except ValueError:
        if "/" in entry:
            raise wrong from None
    host, separator, port_text = entry.rpartition(":")
    if not separator:
        host, port_text = entry, ""
    elif not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536):
        raise wrong
    port = int(port_text) if port_text else None
    try:
        return _Entry(None, ipaddress.ip_network(host.strip("[]")), port)
    except ValueError:
        if not _is_name(host):
            raise wrong from None
        return _Entry(host.lower().removesuffix("."), None, port)


def _is_name(host: str) -> bool:
    try:
        return as_address(host) is None and _HOST_NAME.fullmatch(host.removesuffix(".")) is not None
    except ValueError:
        return False


def target_of(*, scheme: str, host: str, port: int | None) -> Target:
    """Reads scheme, host (ASCII, without brackets) and port of a URL. Raises `EgressRefused`."""
    if scheme not in DEFAULT_PORTS:
        raise EgressRefused("Only https addresses can be reached")
    plain = host.lower().removesuffix(".")
    try:
        address = as_address(plain)
    except ValueError:
        raise EgressRefused(f"The host of the URL is {as_words(plain)}: write IP addresses plainly") from None
    if address is None and not _HOST_NAME.fullmatch(plain):
        raise EgressRefused("The URL has no proper host name")
    if port is not None and not 0 < port < 65536:
        raise EgressRefused("The port of the URL is not between 1 and 65535")
    return Target(scheme, plain, DEFAULT_PORTS[scheme] if port is None else port, address)


def as_words(host: str) -> str:
    """A host cut to what a message can hold."""
    return host if len(host) <= 100 else f"{host[:97]}..."


def check_target(target: Target, policy: EgressPolicy) -> None:
    """The rules that need no look-up: plain http and unusual ports only where allowed. Raises `EgressRefused`."""
    if policy.opens(target):
        return
    maybe_by_range = policy.has_ranges and target.address is None
    if target.scheme == "http" and not maybe_by_range:
        raise EgressRefused(f"Plain http to {as_words(target.shown)} is refused; use https, or add it to {_SETTING}")
    if target.port not in OPEN_PORTS and not maybe_by_range:
        raise EgressRefused(f"Port {target.port} of {as_words(target.host)} is refused; it can be added to {_SETTING}")
    if target.address is not None:
        check_addresses(target, [target.address], policy)


def check_addresses(target: Target, addresses: Sequence[Address], policy: EgressPolicy) -> None:
    """Every address a name resolved to must be allowed; one bad one refuses them all. Raises `EgressRefused`."""
    named = policy.opens(target)
    usual = target.scheme == "https" and target.port in OPEN_PORTS
    for address in addresses:
        if policy.opens_address(address, target.port):
            continue
        kind = forbidden_kind(address)
        if kind is not None and not (named and kind in OPENED_BY_NAME):
            verb = "is" if target.address is not None else "leads to"
            raise EgressRefused(f"{as_words(target.shown)} {verb} {kind} address; it can be added to {_SETTING}")
        if not named and not usual:
            what = "Plain http" if target.scheme == "http" else f"Port {target.port}"
            raise EgressRefused(f"{what} to {as_words(target.host)} is refused; it can be added to {_SETTING}")


def check_unresolved(target: Target, policy: EgressPolicy) -> None:
    """A name that is not known here, before a proxy is asked that may know it. Raises `EgressRefused`.

    Refused is what the proxy would take for itself or complete by a domain of its own, and what only a range could
    have opened.
    """
    if policy.opens(target):
        return
    if "." not in target.host or target.host.endswith(".localhost"):
        raise EgressRefused(f"{as_words(target.shown)} is not known here; it can be added to {_SETTING}")
    if target.scheme == "http" or target.port not in OPEN_PORTS:
        what = "Plain http" if target.scheme == "http" else f"Port {target.port}"
        raise EgressRefused(f"{what} to {as_words(target.host)} is refused; it can be added to {_SETTING}")
