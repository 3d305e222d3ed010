"""Every spelling tried on a whole client, by URL, by name server, by rebinding and by redirect: nothing leaves."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from pydantic import SecretStr

from integrations_api.egress import client
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from integrations_api.egress.proxy_setting import read_proxy
from tests.egress.raw_server import answer, raw_server
from tests.egress.spellings import HERE, ODD_HOSTS, ODD_URLS

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
CLOSED = EgressPolicy()
GOOD = "93.184.215.14"
PROXY = "10.9.8.7"
PROXIED = EgressPolicy(proxy=read_proxy(SecretStr(f"http://{PROXY}:3128")))


class Wire:
    """Stands where connections are made: keeps where somebody wanted to connect to, and connects nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wanted: list[str] = []
        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", self._connect)
        # Nobody gets as far as TLS; reading the authorities for each of hundreds of clients would take seconds.
        monkeypatch.setattr(client, "_tls", lambda *_: None)

    async def _connect(self, host: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        self.wanted.append(host)
        raise httpcore.ConnectError("unplugged")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def in_url(address: str) -> str:
    plain = address.removesuffix(".")
    return f"https://[{plain.replace('%', '%25')}]/" if ":" in address else f"https://{address}/"


def names(*answers: Sequence[str]) -> Any:
    """A name server with these answers, one after the other; the last one stays."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


async def ask(url: str, *answers: Sequence[str], times: int = 1, policy: EgressPolicy = CLOSED) -> str:
    """What became of a GET: refused, or how far it got."""
    told = "nothing"
    try:
        async with open_client(policy, url, resolver=names(*answers or (["127.0.0.1"],))) as http:
            for _ in range(times):
                try:
                    await http.get("/")
                except (httpx.ConnectError, httpx.ProxyError):
                    told = "connecting"
    except EgressRefused:
        return "refused"
    except (httpx.InvalidURL, UnicodeError):
        return "no URL"
    return told


@pytest.mark.parametrize(("policy", "way"), [(CLOSED, GOOD), (PROXIED, PROXY)], ids=["directly", "by a proxy"])
async def test_no_forbidden_address_is_connected_to_however_it_is_spelt_or_resolved(
    wire: Wire, policy: EgressPolicy, way: str
) -> None:
    """The numbers stand in docs/security.md."""
    plain = [address.removesuffix(".") for address in HERE]
    tried = {
        "in a URL": [await ask(in_url(address), policy=policy) for address in HERE],
        "odd hosts": [await ask(f"https://{host}/", policy=policy) for host in ODD_HOSTS],
        "odd URLs": [await ask(url, policy=policy) for url in ODD_URLS],
        "by a name server": [await ask("https://name.example.com", [address], policy=policy) for address in plain],
        "behind a good one": [
            await ask("https://name.example.com", [GOOD, address], policy=policy) for address in plain
        ],
    }
    by_url = list(wire.wanted)
    rebound = [await ask("https://name.example.com", [GOOD], [address], times=2, policy=policy) for address in plain]

    for how, outcomes in tried.items():
        assert set(outcomes) <= {"refused", "no URL"}, how
    assert by_url == []
    # Of a name that is rebound, the first connection goes to the good address or the proxy, the second nowhere.
    assert set(rebound) == {"refused"}
    assert set(wire.wanted) == {way}
    count = sum(map(len, tried.values())) + len(rebound)
    assert f"{count} inputs tried, 0 requests left" in re.sub(r"\s+", " ", PAGE.read_text())


async def test_the_wire_would_have_told(wire: Wire) -> None:
    assert await ask("https://name.example.com", [GOOD]) == "connecting"
    assert wire.wanted == [GOOD]


REDIRECTS = [
    "http://169.254.169.254/latest/meta-data", "//127.0.0.1/x", "https://[::1]/", "http://0x7f.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x", "https://user:pw@127.0.0.1/", "/\\\\127.0.0.1/", "\\thttp://127.0.0.1/",
    "http:127.0.0.1/",
    "https://elsewhere.example.com/", "/elsewhere",
]  # fmt: skip


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
async def test_no_redirect_leads_anywhere(status: int) -> None:
    policy = EgressPolicy(allowed_hosts=("127.0.0.1",))
    for location in REDIRECTS:
        redirect = answer(b"", f"Location: {location}", "Refresh: 0; url=http://127.0.0.1/", status=f"{status} Go")
        async with raw_server(respond=redirect) as server:
            async with open_client(policy, f"http://127.0.0.1:{server.port}") as http:
                # httpx reads where it would lead, and refuses what is no address.
                with suppress(httpx.InvalidURL):
                    received = await http.get("/", follow_redirects=True)
                    assert received.status_code == status
            assert (server.connections, len(server.heads)) == (1, 1)
