"""The way out over real sockets: what is connected to, what is sent, and how much may come back."""

import asyncio
import gzip
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import httpcore
import httpx
import pytest

from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from integrations_api.egress.transport import GuardedBackend, ResponseTooLarge, _decoder
from tests.egress.raw_server import Answer, answer, make_certificate, raw_server
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

LOOPBACK = ("127.0.0.0/8", "::1")


class Names:
    """A resolver with a book of its own; each look-up takes the next answer of the list, the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_public_looking_name_that_leads_to_loopback_is_refused_before_anything_is_sent() -> None:
    async with raw_server() as server:
        policy = EgressPolicy(allowed_hosts=("other.example.com",))
        async with open_client(policy, "https://public.example.com:8443", resolver=Names(["127.0.0.1"])) as client:
            with pytest.raises(EgressRefused, match="loopback"):
                await client.get("/")
        assert server.connections == 0


async def test_a_name_that_is_rebound_between_two_connects_is_refused_the_second_time() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with raw_server(respond=answer(b"{}", "Connection: close")) as server:
        policy = EgressPolicy(allowed_hosts=("rebound.example.com",))
        async with open_client(policy, f"http://rebound.example.com:{server.port}", resolver=names) as client:
            assert (await client.get("/one")).status_code == 200
            with pytest.raises(EgressRefused, match="metadata"):
                await client.get("/two")
        assert len(server.heads) == 1


async def test_a_kept_connection_is_not_looked_up_again() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with raw_server() as server:
        policy = EgressPolicy(allowed_hosts=("kept.example.com",))
        async with open_client(policy, f"http://kept.example.com:{server.port}", resolver=names) as client:
            await client.get("/one")
            await client.get("/two")
        assert (server.connections, len(names.asked)) == (1, 1)


def tls_of(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A new certificate for a name, and what a server needs to show it."""
    certificate, key = make_certificate(folder, name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return certificate, tls


async def test_tls_goes_to_the_checked_address_with_the_names_own_sni_and_host(tmp_path: Path) -> None:
    certificate, tls = tls_of(tmp_path, "service.example.com")
    policy = EgressPolicy(allowed_hosts=("service.example.com",), ca_file=certificate)
    async with raw_server(tls) as server:
        url = f"https://service.example.com:{server.port}"
        async with open_client(policy, url, resolver=Names(["127.0.0.1"])) as client:
            assert (await client.get("/x")).status_code == 200
        assert server.sni == ["service.example.com"]
        assert f"host: service.example.com:{server.port}" in server.heads[0].lower()


async def test_a_request_cannot_choose_for_which_name_the_server_proves_itself(tmp_path: Path) -> None:
    certificate, tls = tls_of(tmp_path, "another.example.com")
    policy = EgressPolicy(allowed_hosts=("service.example.com",), ca_file=certificate)
    async with raw_server(tls) as server:
        url = f"https://service.example.com:{server.port}"
        async with open_client(policy, url, resolver=Names(["127.0.0.1"])) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/x", extensions={"sni_hostname": "another.example.com"})
        assert (server.sni, server.heads) == (["service.example.com"], [])


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_for_another_name_or_from_a_stranger_is_refused(tmp_path: Path, trusted: bool) -> None:
    certificate, tls = tls_of(tmp_path, "another.example.com" if trusted else "service.example.com")
    policy = EgressPolicy(allowed_hosts=("service.example.com",), ca_file=certificate if trusted else None)
    async with raw_server(tls) as server:
        url = f"https://service.example.com:{server.port}"
        async with open_client(policy, url, resolver=Names(["127.0.0.1"])) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/x")
        assert server.heads == []


async def test_plain_http_to_a_name_is_allowed_only_by_the_range_it_leads_to() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK)
    async with raw_server() as server:
        url = f"http://sim.example.com:{server.port}"
        async with open_client(policy, url, resolver=Names(["127.0.0.1"])) as client:
            assert (await client.get("/")).status_code == 200
        async with open_client(policy, url, resolver=Names(["127.0.0.1", "8.8.8.8"])) as client:
            with pytest.raises(EgressRefused, match="Plain http"):
                await client.get("/")


async def test_the_next_address_is_tried_when_the_first_does_not_answer() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK)
    async with raw_server() as server:
        names = Names(["127.0.0.2", "127.0.0.1"])  # nobody listens at 127.0.0.2
        async with open_client(policy, f"http://two.example.com:{server.port}", resolver=names) as client:
            assert (await client.get("/")).status_code == 200


async def test_an_address_that_does_not_answer_leaves_time_for_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    async def silent(*_: object, **options: float) -> httpcore.AsyncNetworkStream:
        given.append(options["timeout"])
        raise httpcore.ConnectTimeout

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", silent)
    policy, names = EgressPolicy(connect_timeout=timedelta(seconds=60)), Names([f"8.8.8.{n}" for n in range(6)])
    backend = GuardedBackend(scheme="https", policy=policy, resolver=names)

    with pytest.raises(httpcore.ConnectTimeout):
        await backend.connect_tcp("silent.example.com", 443)

    # The clock stands nearly still meanwhile, so each may take its share of nearly all.
    assert [round(60 / seconds) for seconds in given] == [4, 3, 2, 1]


async def test_a_redirect_is_an_answer_and_not_a_way_on() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK)
    moved = answer(b"", "Location: http://169.254.169.254/latest/meta-data", status="302 Found")
    async with raw_server(respond=moved) as server:
        async with open_client(policy, f"http://127.0.0.1:{server.port}") as client:
            response = await client.get("/", follow_redirects=True)
        assert (response.status_code, len(server.heads)) == (302, 1)


async def test_credentials_do_not_reach_another_origin() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK)
    async with raw_server() as home, raw_server() as elsewhere:
        async with open_client(policy, f"http://127.0.0.1:{home.port}", auth=httpx.BasicAuth("u", "p")) as client:
            with pytest.raises(EgressRefused):
                await client.get(f"http://127.0.0.1:{elsewhere.port}/")
        assert elsewhere.connections == 0


async def test_a_request_does_not_bring_credentials_in_its_url() -> None:
    async with raw_server() as server:
        async with open_client(EgressPolicy(allowed_hosts=LOOPBACK), f"http://127.0.0.1:{server.port}") as client:
            with pytest.raises(EgressRefused, match="must not hold credentials"):
                await client.get(f"http://user:password@127.0.0.1:{server.port}/")
        assert server.connections == 0


async def test_cookies_are_not_kept() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK)
    async with raw_server(respond=answer(b"{}", "Set-Cookie: JSESSIONID=abc; Path=/")) as server:
        async with open_client(policy, f"http://127.0.0.1:{server.port}") as client:
            await client.get("/one")
            await client.get("/two")
        assert not any("cookie" in head.lower() for head in server.heads)


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login stolen password stolen\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with raw_server() as server:
        policy = EgressPolicy(allowed_hosts=LOOPBACK)
        async with open_client(policy, f"http://127.0.0.1:{server.port}") as client:
            assert (await client.get("/")).status_code == 200
        assert "authorization" not in server.heads[0].lower()


async def fetch(respond: bytes | Answer, policy: EgressPolicy) -> httpx.Response:
    """One GET to a server that responds so."""
    async with raw_server(respond=respond) as server, open_client(policy, f"http://127.0.0.1:{server.port}") as client:
        return await client.get("/")


async def test_an_answer_larger_than_allowed_is_cut_off() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK, max_response_bytes=1000)
    assert len((await fetch(answer(b"x" * 1000), policy)).content) == 1000
    with pytest.raises(ResponseTooLarge):
        await fetch(answer(b"x" * 1001), policy)


@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_decompression_bomb_is_cut_off(name: str, compress: Callable[[bytes], bytes]) -> None:
    body = compress(b"\0" * 50_000_000)
    policy = EgressPolicy(allowed_hosts=LOOPBACK, max_response_bytes=1_000_000)
    with pytest.raises(ResponseTooLarge):
        await fetch(answer(body, f"Content-Encoding: {name}"), policy)


LONG = b"hello" * 200_000


@pytest.mark.parametrize(("name", "body"), [("gzip", gzip.compress(LONG)), ("identity", LONG)])
async def test_compressed_and_plain_answers_read_the_same(name: str, body: bytes) -> None:
    response = await fetch(answer(body, f"Content-Encoding: {name}"), EgressPolicy(allowed_hosts=LOOPBACK))
    assert response.content == LONG


@pytest.mark.parametrize(("name", "body"), [("br", b"xx"), ("gzip", b"this is no gzip")])
async def test_an_unknown_or_broken_compression_is_an_error_and_not_data(name: str, body: bytes) -> None:
    with pytest.raises(httpx.DecodingError):
        await fetch(answer(body, f"Content-Encoding: {name}"), EgressPolicy(allowed_hosts=LOOPBACK))


async def test_what_follows_a_compressed_answer_is_not_kept() -> None:
    inflate, waste = _decoder("gzip"), bytes(1_000_000)
    tracemalloc.start()
    try:
        read = b"".join(piece for chunk in [gzip.compress(LONG), *[waste] * 20] for piece in inflate(chunk))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert read == LONG
    assert most < 10_000_000


async def test_what_follows_a_compressed_answer_counts_as_a_part_of_it() -> None:
    policy = EgressPolicy(allowed_hosts=LOOPBACK, max_response_bytes=1_000_000)
    with pytest.raises(ResponseTooLarge):
        await fetch(answer(gzip.compress(b"{}") + bytes(2_000_000), "Content-Encoding: gzip"), policy)


async def test_others_have_their_turn_while_an_answer_comes_in_very_many_pieces() -> None:
    pieces, turns = 20_000, 0

    async def crumble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * pieces + b"0\r\n\r\n")
        await writer.drain()

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    try:
        response = await fetch(crumble, EgressPolicy(allowed_hosts=LOOPBACK))
    finally:
        others.cancel()

    assert response.content == b"x" * pieces
    assert turns >= pieces / 100


async def test_a_body_that_trickles_is_given_up_when_the_whole_time_is_over() -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(httpx.ReadTimeout):
        await fetch(trickle, EgressPolicy(allowed_hosts=LOOPBACK, timeout=timedelta(milliseconds=150)))


async def test_a_name_that_does_not_resolve_is_a_connect_error() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    async with open_client(EgressPolicy(), "https://nowhere.example.com", resolver=unknown) as client:
        with pytest.raises(httpx.ConnectError, match="name"):
            await client.get("/")


async def test_a_resolver_that_hangs_is_a_connect_timeout() -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    policy = EgressPolicy(connect_timeout=timedelta(milliseconds=50))
    async with open_client(policy, "https://slow.example.com", resolver=hang) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("/")


async def test_every_connection_is_closed_though_the_closing_is_cancelled() -> None:
    together = asyncio.Barrier(3)

    async def answer_together(writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(answer())

    async with raw_server(respond=answer_together) as server:
        client = open_client(EgressPolicy(allowed_hosts=LOOPBACK), f"http://127.0.0.1:{server.port}")
        await asyncio.gather(*(client.get("/") for _ in range(3)))

        closing = asyncio.create_task(client.aclose())
        await asyncio.sleep(0)
        closing.cancel()

        with pytest.raises(asyncio.CancelledError):
            await closing
        async with asyncio.timeout(PATIENCE):
            while server.still_open:  # noqa: ASYNC110 - the other end of each socket tells it
                await asyncio.sleep(0.01)
        assert server.connections == 3
