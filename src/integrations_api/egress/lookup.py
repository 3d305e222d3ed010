"""The one look-up of a host name, bounded in time."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import httpcore

from integrations_api.egress.addresses import Address
from integrations_api.egress.guard import Target

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host name and port into addresses, as text; raises `socket.gaierror`."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's resolver, in its thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def look_up(target: Target, resolver: Resolver, deadline: float) -> list[Address]:
    """The addresses of a target, one at least; `deadline` is a time of the running loop.

    Raises `httpcore.ConnectError` or `httpcore.ConnectTimeout` where the name has none.
    """
    if target.address is not None:
        return [target.address]
    try:
        async with asyncio.timeout_at(deadline):
            found = await resolver(target.host, target.port)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout("name resolution timed out") from error
    except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters
        raise httpcore.ConnectError("name resolution failed") from error
    if not found:
        raise httpcore.ConnectError("the name has no address")
    return [ipaddress.ip_address(text) for text in found]
