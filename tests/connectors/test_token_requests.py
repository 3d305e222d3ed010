"""What the answers of token URLs mean, whatever a server sends."""

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest

from integrations_api.connectors.errors import ConnectorError, RateLimited, Refused, Retryable
from integrations_api.connectors.http import Answer
from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.token_answers import GrantRefused
from integrations_api.connectors.token_requests import TokenRequests, read_answer
from integrations_api.egress.guard import EgressPolicy
from tests.egress.raw_server import answer as raw_answer
from tests.egress.raw_server import raw_server

SERVER = OAuthServer(
    grant="authorization_code",
    token_url="https://auth.example.com/token",
    grant_errors=frozenset({"invalid_grant", "bad_refresh_token"}),
)
LOOPBACK = EgressPolicy(allowed_hosts=("127.0.0.1",))
GOOD = {"access_token": "abc.def", "token_type": "bearer"}


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), raw)


@pytest.mark.parametrize(
    ("told", "lifetime"),
    [({"expires_in": 1799}, 1799), ({"expires_in": "3600"}, 3600), ({"expires_in": 10**15}, 3650 * 86400)],
)
def test_a_life_is_read_from_numbers_and_texts_and_bounded(told: dict[str, Any], lifetime: int) -> None:
    assert read_answer(answer(GOOD | told), SERVER).lifetime == timedelta(seconds=lifetime)


@pytest.mark.parametrize("told", [{}, {"expires_in": None}, {"expires_in": "soon"}, {"expires_in": -5}])
def test_a_life_that_is_not_named_is_none(told: dict[str, Any]) -> None:
    assert read_answer(answer(GOOD | told), SERVER).lifetime is None


def test_tokens_do_not_show_in_a_repr() -> None:
    read = read_answer(answer(GOOD | {"refresh_token": "refresh.me"}), SERVER)

    assert (read.access_token, read.refresh_token) == ("abc.def", "refresh.me")
    assert "abc.def" not in repr(read)
    assert "refresh.me" not in repr(read)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer({"error": "invalid_grant", "error_description": "nasty"}, 400), GrantRefused),
        (answer({"error": "invalid_grant"}, 403), GrantRefused),
        (answer({"error": "bad_refresh_token", "error_description": "nasty"}), GrantRefused),
        (answer({"error": "invalid_client"}, 401), Refused),
        (answer({"error": "invalid_scope"}, 400), Refused),
        (answer({"error": "temporarily_unavailable"}, 400), Retryable),
        (answer({"error": "invalid_grant"}, 503), Retryable),
        (answer(b"<h1>nasty</h1>", 502), Retryable),
        (answer({"error": "slow_down"}, 429, retry_after="7"), RateLimited),
        (answer(b"", 302, location="https://elsewhere.example"), Refused),
        (answer(b"<h1>nasty</h1>"), Refused),
        (answer(b"access_token=nasty&token_type=bearer"), Refused),
        (answer(["nasty"]), Refused),
        (answer(GOOD | {"token_type": "mac"}), Refused),
        (answer(GOOD | {"access_token": "nasty\r\nHost: x"}), Refused),
        (answer(GOOD | {"access_token": "nas ty"}), Refused),
        (answer(GOOD | {"access_token": 7}), Refused),
        (answer(GOOD | {"refresh_token": ["nasty"]}), Refused),
        (answer({"message": "nasty"}, 418), Refused),
    ],
)
def test_everything_else_is_an_error_of_its_kind_without_the_servers_words(
    given: Answer, kind: type[ConnectorError]
) -> None:
    with pytest.raises(ConnectorError) as caught:
        read_answer(given, SERVER)

    assert type(caught.value) is kind
    assert "nas" not in f"{caught.value.message} {caught.value.remedy}"


@pytest.mark.anyio
async def test_a_client_that_proves_itself_by_basic_encodes_its_id_and_secret_first() -> None:
    async with raw_server(respond=raw_answer(orjson.dumps(GOOD))) as server:
        description = OAuthServer(
            grant="client_credentials", token_url=f"http://127.0.0.1:{server.port}/token", client_auth="basic"
        )
        config = {"client_id": "me & you", "client_secret": "s:3"}

        got = await TokenRequests(server=description, config=config, policy=LOOPBACK).by_config()

    assert got.access_token == "abc.def"
    expected = base64.b64encode(b"me+%26+you:s%3A3").decode()
    assert f"authorization: basic {expected}".lower() in server.heads[0].lower()


@pytest.mark.anyio
async def test_a_token_url_that_the_guard_forbids_is_asked_nothing() -> None:
    async with raw_server() as server:
        description = OAuthServer(grant="client_credentials", token_url=f"http://127.0.0.1:{server.port}/token")

        with pytest.raises(Refused, match="refused"):
            await TokenRequests(server=description, config={}, policy=EgressPolicy()).by_config()

    assert server.connections == 0


@pytest.mark.anyio
async def test_a_server_that_does_not_answer_in_time_may_be_asked_again() -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with raw_server(respond=silent) as server:
        description = OAuthServer(grant="client_credentials", token_url=f"http://127.0.0.1:{server.port}/token")
        policy = replace(LOOPBACK, timeout=timedelta(milliseconds=50))

        with pytest.raises(Retryable, match="took too long"):
            await TokenRequests(server=description, config={}, policy=policy).by_config()
