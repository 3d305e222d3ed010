"""Which internet addresses are somewhere else, and which are here: pure classification of IPs and host spellings."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42",
        "169.254.170.2", "169.254.170.23", "fd00:ec2::23",
        "168.63.129.16", "100.100.100.200", "192.0.0.192",
    )
)  # fmt: skip
"""Where clouds answer machines with credentials: AWS, GCP, Azure and others, by IPv6 those of AWS, GCP and Scaleway;
ECS and EKS; Azure's wire server, Alibaba, Oracle."""

# First match names the kind; order matters where ranges overlap.
_KINDS_V4 = tuple(
    (ipaddress.IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier-grade NAT"),
        ("127.0.0.0/8", "a loopback"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a reserved"),
        ("192.0.2.0/24", "a reserved"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a reserved"),
        ("198.51.100.0/24", "a reserved"),
        ("203.0.113.0/24", "a reserved"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
    )
)
_KINDS_V6 = tuple(
    (ipaddress.IPv6Network(network), kind)
    for network, kind in (
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a private"),
        ("fc00::/7", "a private"),
        ("ff00::/8", "a multicast"),
        ("2002::/16", "a 6to4"),
        ("2001::/32", "a Teredo"),
        ("2001::/23", "a reserved"),
        ("2001:db8::/32", "a reserved"),
        ("3fff::/20", "a reserved"),
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

OPENED_BY_NAME = frozenset({"a private", "a loopback", "a carrier-grade NAT"})
"""Kinds that an allowed host *name* may lead to; the others need the address or its range itself to be allowed,
for a name's owner could otherwise lead us to a cloud's credentials."""

_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.IGNORECASE)


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside of a v4-mapped or NAT64 one; any other address as it is."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def forbidden_kind(address: Address) -> str | None:
    """Why an address is not out in the public internet, with its article (`a loopback`); None where it is."""
    address = unwrapped(address)
    if address in METADATA:
        return "a cloud metadata"
    if isinstance(address, ipaddress.IPv4Address):
        kind = next((kind for network, kind in _KINDS_V4 if address in network), None)
    else:
        kind = next((kind for network, kind in _KINDS_V6 if address in network), None)
        if kind is None and address not in _GLOBAL_V6:
            kind = "a reserved"
    # What the tables do not know yet, a newer Python may.
    return kind or (None if address.is_global else "a reserved")


def as_address(host: str) -> Address | None:
    """The address that a host (without brackets) spells in the one plain way, or None for a name.

    Raises ValueError for what only looks like a name: `2130706433`, `0x7f.1`, `0177.0.0.1`, `127.1`. Resolvers
    read these as IPv4 addresses, so that a check of the text would see another host than the connection.
    """
    plain = host.removesuffix(".")
    try:
        return ipaddress.ip_address(plain)
    except ValueError:
        if ":" in plain or _ENDS_IN_A_NUMBER.fullmatch(plain):
            raise ValueError("not a plainly written IP address") from None
        return None
