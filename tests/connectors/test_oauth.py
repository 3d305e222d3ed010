"""The bearer flow: a token on each request, renewed once where the source refuses it."""

import httpx
import pytest

from integrations_api.connectors.bearer import BearerAuth
from integrations_api.connectors.records import ConnectorContext
from integrations_api.connectors.services import UnsupportedService, signed_in
from tests.support.tokens import GivenTokens

pytestmark = pytest.mark.anyio


class Source:
    """Accepts some tokens and notes what it was sent."""

    def __init__(self, *accepted: str) -> None:
        self.accepted = accepted
        self.seen: list[tuple[str, bytes]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        header = request.headers["authorization"]
        self.seen.append((header, request.content))
        return httpx.Response(200 if header.removeprefix("Bearer ") in self.accepted else 401)

    async def ask(self, tokens: GivenTokens) -> int:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self), auth=BearerAuth(tokens)) as client:
            return (await client.post("https://source.test/search", content=b"jql")).status_code


async def test_every_request_carries_the_token() -> None:
    source = Source("token-1")

    status = await source.ask(GivenTokens())

    assert status == 200
    assert source.seen == [("Bearer token-1", b"jql")]


async def test_a_refused_token_is_renewed_once_and_the_request_is_sent_again_with_its_body() -> None:
    source, tokens = Source("token-2"), GivenTokens()

    status = await source.ask(tokens)

    assert status == 200
    assert source.seen == [("Bearer token-1", b"jql"), ("Bearer token-2", b"jql")]
    assert tokens.refused == ["token-1"]


async def test_a_renewed_token_that_is_refused_too_is_not_renewed_again() -> None:
    source, tokens = Source("another"), GivenTokens(["token-1", "token-2", "token-3"])

    status = await source.ask(tokens)

    assert status == 401
    assert [header for header, _ in source.seen] == ["Bearer token-1", "Bearer token-2"]


async def test_a_server_that_repeats_its_token_is_not_asked_the_same_twice() -> None:
    source = Source("another")

    status = await source.ask(GivenTokens(["token-1"]))

    assert status == 401
    assert len(source.seen) == 1


def test_a_connector_that_is_handed_no_tokens_says_so() -> None:
    context = ConnectorContext(page_size=1, concurrency=1, overlap_seconds=0, retry_budget_seconds=1)

    with pytest.raises(UnsupportedService):
        signed_in(context)
