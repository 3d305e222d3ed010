"""The way out through EGRESS_PROXY, over real sockets: what the proxy is asked for, and what is never asked of it."""

import asyncio
import logging
import socket
import ssl
import traceback
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from integrations_api.connectors.errors import ConnectorError, Refused, Unreachable
from integrations_api.connectors.http import translated
from integrations_api.connectors.reaching import reach
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from integrations_api.egress.proxy import ProxyFailed
from integrations_api.egress.proxy_setting import read_proxy
from integrations_api.egress.transport import ResponseTooLarge
from integrations_api.errors import ConfigurationError
from tests.egress.raw_server import answer, make_certificate, raw_server
from tests.support.forward_proxy import forward_proxy, refusal

pytestmark = pytest.mark.anyio

NAME = "service.example.com"
PASSWORD = "cAnArY/proxy@password 1"
CREDENTIALS = f"ada:{PASSWORD}"
ESCAPED = "ada:cAnArY%2Fproxy%40password%201"


def through(port: int, *, scheme: str = "http", userinfo: str = "", **policy: Any) -> EgressPolicy:
    """A policy whose proxy is at this port of loopback."""
    url = f"{scheme}://{userinfo}{'@' if userinfo else ''}127.0.0.1:{port}"
    return EgressPolicy(proxy=read_proxy(SecretStr(url)), **policy)


async def unknown(host: str, port: int) -> Sequence[str]:
    """A name server of a closed network."""
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


def known(*addresses: str) -> Any:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def serving(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """What a server proves these names with, and the file that trusts it."""
    certificate, key = make_certificate(folder, *names)
    return proving(certificate, key), certificate


def proving(certificate: Path, key: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls


async def test_https_goes_through_a_tunnel_and_the_password_no_further_than_the_proxy(tmp_path: Path) -> None:
    tls, trusted = serving(tmp_path, NAME)
    async with raw_server(tls) as server, forward_proxy({f"{NAME}:443": server.port}, credentials=CREDENTIALS) as proxy:
        policy = through(proxy.port, userinfo=ESCAPED, ca_file=trusted)
        async with open_client(policy, f"https://{NAME}", auth=httpx.BasicAuth("u", "p"), resolver=unknown) as client:
            statuses = [(await client.get(path)).status_code for path in ("/one", "/two")]

    assert statuses == [200, 200]
    assert [head.partition("\r\n")[0] for head in proxy.heads] == [f"CONNECT {NAME}:443 HTTP/1.1"]
    assert "\r\nauthorization:" not in proxy.heads[0].lower()
    assert server.sni == [NAME]
    assert "proxy-authorization" not in "".join(server.heads).lower()


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_target_proves_its_name_inside_the_tunnel(tmp_path: Path, trusted: bool) -> None:
    tls, certificate = serving(tmp_path, "another.example.com" if trusted else NAME)
    async with raw_server(tls) as server, forward_proxy({f"{NAME}:443": server.port}) as proxy:
        policy = through(proxy.port, ca_file=certificate if trusted else None)
        async with open_client(policy, f"https://{NAME}", resolver=unknown) as client:
            with pytest.raises(httpx.ConnectError) as failed:
                await client.get("/")

    assert translated(failed.value).message == "The TLS certificate is not trusted"
    assert (len(proxy.heads), server.heads) == (1, [])


async def test_plain_http_that_is_opened_is_asked_for_in_absolute_form() -> None:
    names = {"sim.example.com:8080": 0}
    async with raw_server() as server, forward_proxy(names, credentials=CREDENTIALS) as proxy:
        names["sim.example.com:8080"] = server.port
        policy = through(proxy.port, userinfo=ESCAPED, allowed_hosts=("sim.example.com:8080",))
        async with open_client(policy, "http://sim.example.com:8080", resolver=unknown) as client:
            status = (await client.get("/x", params={"y": "1"})).status_code

    assert status == 200
    assert proxy.heads[0].startswith("GET http://sim.example.com:8080/x?y=1 HTTP/1.1\r\n")
    assert "host: sim.example.com:8080" in server.heads[0].lower()
    assert "proxy-authorization" not in server.heads[0].lower()


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_proxy_by_https_proves_its_own_name_before_it_gets_the_password(tmp_path: Path, trusted: bool) -> None:
    certificate, key = make_certificate(tmp_path, NAME, "127.0.0.1" if trusted else "127.0.0.2")
    async with raw_server(proving(certificate, key)) as server:
        names, tls = {f"{NAME}:443": server.port}, proving(certificate, key)
        async with forward_proxy(names, credentials=CREDENTIALS, tls=tls) as proxy:
            policy = through(proxy.port, scheme="https", userinfo=ESCAPED, ca_file=certificate)
            told = await outcome(policy, f"https://{NAME}")

    if trusted:
        assert (told, server.sni) == (200, [NAME])
    else:
        assert isinstance(told, Refused)
        assert told.message == "The TLS certificate of the proxy is not trusted"
        assert proxy.heads == []


async def outcome(policy: EgressPolicy, url: str) -> int | ConnectorError:
    """The status of a GET, or what its failure means."""
    async with open_client(policy, url, resolver=unknown) as client:
        try:
            return (await client.get("/private?token=abc")).status_code
        except (httpx.HTTPError, EgressRefused) as error:
            return translated(error)


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "intranet", "LOCALHOST."])
async def test_a_name_that_the_proxy_would_take_for_itself_is_not_asked_of_it(host: str) -> None:
    async with forward_proxy({f"{host}:443": 1}) as proxy:
        told = await outcome(through(proxy.port), f"https://{host}")

    assert isinstance(told, Refused)
    assert "EGRESS_ALLOWED_HOSTS" in told.message
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "url", ["http://sim.example.com", "http://sim.example.com:8443", "https://sim.example.com:9443"]
)
async def test_what_only_a_range_could_open_is_not_asked_for_by_a_name_that_is_not_known_here(url: str) -> None:
    async with forward_proxy() as proxy:
        told = await outcome(through(proxy.port, allowed_hosts=("10.0.0.0/8",)), url)

    assert isinstance(told, Refused)
    assert "EGRESS_ALLOWED_HOSTS" in told.message
    assert proxy.connections == 0


async def test_a_name_server_that_is_silent_leaves_time_for_the_proxy() -> None:
    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with forward_proxy(refuse=refusal("403 Forbidden")) as proxy:
        policy = through(proxy.port, connect_timeout=timedelta(seconds=4))
        async with open_client(policy, f"https://{NAME}", resolver=silent) as client:
            with pytest.raises(ProxyFailed, match="403"):
                await client.get("/")


async def test_an_ipv6_address_is_not_asked_of_a_proxy() -> None:
    async with forward_proxy() as proxy:
        told = await outcome(through(proxy.port), "https://[2606:4700::1111]")

    assert isinstance(told, Refused)
    assert "EGRESS_NO_PROXY" in told.message
    assert proxy.connections == 0


async def test_hosts_of_the_second_setting_are_reached_directly_and_no_others() -> None:
    allowed = ("127.0.0.0/8", "near.example.com", "far.example.com")
    async with raw_server() as server, forward_proxy({f"far.example.com:{server.port}": server.port}) as proxy:
        policy = through(proxy.port, allowed_hosts=allowed, no_proxy=("near.example.com", "127.0.0.0/8"))
        for host in ("near.example.com", "127.0.0.1", "far.example.com"):
            url = f"http://{host}:{server.port}"
            async with open_client(policy, url, resolver=known("127.0.0.1")) as client:
                assert (await client.get("/")).status_code == 200

    assert len(server.heads) == 3
    assert [head.partition("\r\n")[0] for head in proxy.heads] == [
        f"GET http://far.example.com:{server.port}/ HTTP/1.1"
    ]


async def test_the_environment_neither_names_a_proxy_nor_takes_ours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server() as server, forward_proxy({f"127.0.0.1:{server.port}": server.port}) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        url, allowed = f"http://127.0.0.1:{server.port}", ("127.0.0.1",)
        assert await outcome(EgressPolicy(allowed_hosts=allowed), url) == 200
        assert proxy.connections == 0

        monkeypatch.setenv("NO_PROXY", "*")
        assert await outcome(through(proxy.port, allowed_hosts=allowed), url) == 200
        assert proxy.connections == 1


SECRETS = (PASSWORD, "cAnArY", "YWRhOmNBbkFy", "ada", "token", "127.0.0.1")
ECHO = b"HTTP/1.1 %s " + PASSWORD.encode() + b"\r\nX-Seen: " + PASSWORD.encode() + b"\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (b"407", Refused, "credentials (407)"),
        (b"403", Refused, "(403)"),
        (b"302", Refused, "(302)"),
        (b"429", Unreachable, "(429)"),
        (b"502", Unreachable, "could not connect to the host (502)"),
        (b"504", Unreachable, "(504)"),
    ],
)
async def test_what_the_proxy_refuses_is_told_as_the_proxys_in_our_words(
    caplog: pytest.LogCaptureFixture, status: bytes, kind: type[ConnectorError], said: str
) -> None:
    caplog.set_level(logging.DEBUG, "integrations_api")
    async with forward_proxy(refuse=ECHO.replace(b"%s", status)) as proxy:
        policy = through(proxy.port, userinfo=ESCAPED)
        async with open_client(policy, f"https://{NAME}", resolver=unknown) as client:
            with pytest.raises(ProxyFailed) as failed:
                await client.get("/private?token=abc")

    told = translated(failed.value)
    assert type(told) is kind
    assert told.message.startswith("The proxy")
    assert said in told.message
    shown = "".join(traceback.format_exception(failed.value)) + repr(policy) + caplog.text
    assert [secret for secret in SECRETS[:3] if secret in shown] == []
    assert [secret for secret in SECRETS if secret in f"{told.message} {told.remedy}"] == []


async def test_plain_http_without_the_proxys_password_is_told_as_the_proxys() -> None:
    async with forward_proxy({"sim.example.com:80": 1}, credentials=CREDENTIALS) as proxy:
        told = await outcome(through(proxy.port, allowed_hosts=("sim.example.com",)), "http://sim.example.com")

    assert isinstance(told, Refused)
    assert "EGRESS_PROXY" in str(told.remedy)


async def test_a_proxy_that_is_away_is_told_as_the_proxy() -> None:
    async with forward_proxy() as proxy:
        gone = proxy.port
    told = await outcome(through(gone, userinfo=ESCAPED), f"https://{NAME}")

    assert isinstance(told, Unreachable)
    assert told.message == "The proxy cannot be reached"
    assert "EGRESS_PROXY" in str(told.remedy)


async def test_a_proxy_that_speaks_no_tls_does_not_get_the_password() -> None:
    async with forward_proxy() as proxy:
        told = await outcome(through(proxy.port, scheme="https", userinfo=ESCAPED), f"https://{NAME}")

    assert isinstance(told, Unreachable)
    assert told.message == "No secure connection to the proxy could be made"
    assert (proxy.connections, proxy.heads) == (1, [])


async def test_a_proxy_that_says_nothing_is_left_when_the_time_for_connecting_is_over() -> None:
    async with forward_proxy(refuse=b"") as proxy:
        policy = through(proxy.port, connect_timeout=timedelta(seconds=1))
        told = await outcome(policy, f"https://{NAME}")

    assert isinstance(told, Unreachable)
    assert told.message == "The proxy did not connect to the host in time"


async def test_redirects_and_bounds_hold_behind_a_proxy() -> None:
    moved = answer(b"", "Location: http://127.0.0.1/", status="302 Found")
    async with raw_server(respond=moved) as server, forward_proxy({"sim.example.com:80": server.port}) as proxy:
        policy = through(proxy.port, allowed_hosts=("sim.example.com",), max_response_bytes=1000)
        async with open_client(policy, "http://sim.example.com", resolver=unknown) as client:
            assert (await client.get("/", follow_redirects=True)).status_code == 302
            server.respond = answer(b"x" * 2000)
            with pytest.raises(ResponseTooLarge):
                await client.get("/")

    assert (len(proxy.heads), len(server.heads)) == (1, 2)


async def test_the_doctors_look_at_a_host_goes_the_same_way() -> None:
    async with raw_server() as server, forward_proxy({f"127.0.0.1:{server.port}": server.port}) as proxy:
        policy = through(proxy.port, allowed_hosts=("127.0.0.1",))
        found = await reach(f"http://127.0.0.1:{server.port}/x", policy, within=timedelta(seconds=10))

    assert (found.status, len(proxy.heads)) == (200, 1)


@pytest.mark.parametrize(
    "value",
    [
        "proxy.example.com:3128", "socks5://proxy:1080", "http://", "http://ada:cAnArY@host:0", "http://a b",
        "http://ada:cA/nArY@host:3128", "http://ada:1/cAnArY@host", "http://ada:1?cAnArY@host",
        "http://ada:1#cAnArY@host", "http://host:99999", "http://cAnArY@0x7f.1", "http://a%3Aa:cAnArY@host:3128",
    ],
)  # fmt: skip
def test_a_malformed_proxy_stops_the_start_and_is_not_shown(value: str) -> None:
    with pytest.raises(ConfigurationError, match="EGRESS_PROXY: expected") as wrong:
        read_proxy(SecretStr(value))

    assert "nArY" not in "".join(traceback.format_exception(wrong.value)).split("Wrong settings")[-1]


@pytest.mark.parametrize(
    ("value", "at", "credentials"),
    [
        ("http://proxy.example.com:3128/", ("http", "proxy.example.com", 3128), None),
        ("https://10.0.0.1", ("https", "10.0.0.1", 443), None),
        ("http://proxy", ("http", "proxy", 80), None),
        (f"http://{ESCAPED}@proxy", ("http", "proxy", 80), (b"ada", PASSWORD.encode())),
        ("http://ada@proxy", ("http", "proxy", 80), (b"ada", b"")),
    ],
)
def test_a_proxy_is_read_with_its_port_and_password(value: str, at: Any, credentials: Any) -> None:
    read = read_proxy(SecretStr(value))

    assert read is not None
    assert (read.at.scheme, read.at.host, read.at.port) == at
    assert read.credentials == credentials
    assert PASSWORD not in repr(read)


def test_a_malformed_host_of_the_second_setting_is_named() -> None:
    with pytest.raises(ConfigurationError, match="EGRESS_NO_PROXY"):
        EgressPolicy(no_proxy=("*.example.com",))
