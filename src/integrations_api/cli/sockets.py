"""Listening: the port is ours before anything else is started, or the reason is said."""

import errno
import resource
import socket
from contextlib import closing

from integrations_api.cli.errors import PortInUse
from integrations_api.errors import ConfigurationError

MOST_FILES = 65_536


def allow_open_files() -> None:
    """As many as this process may have, within reason: each stream is one, and a shell or systemd begins with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def listen(host: str, port: int, *, chosen_by: str = "--port") -> socket.socket:
    """A socket that listens already; clients that come early wait in its queue. Port 0 takes any free one.

    `chosen_by` is how one chooses the port. Raises `PortInUse`, or `ConfigurationError` for an address that cannot be
    listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"Port {port} on {host} is in use: end the program there, or choose another {chosen_by}"
            ) from None
        raise ConfigurationError(f"Cannot listen on {host}, port {port} ({error.strerror})") from None
    except UnicodeError:  # Of an empty or too long part between two dots.
        raise ConfigurationError(f"Cannot listen on {host}, port {port} (that is no name of a host)") from None
    return listener


def check_port(host: str, port: int) -> None:
    """Raises `PortInUse` now, rather than after much work."""
    with closing(listen(host, port)):
        pass


def base_url(host: str, port: int) -> str:
    """Where a client on this machine reaches what listens there."""
    if host in {"0.0.0.0", "::", ""}:  # nosec B104 # noqa: S104 (compared, not bound)
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
