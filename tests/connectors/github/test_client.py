"""Where the links of an answer lead."""

from contextlib import nullcontext

import httpx
import pytest

from integrations_api.connectors.errors import Refused
from integrations_api.connectors.github.client import GitHubClient, Link
from integrations_api.connectors.github.config import addresses_of
from integrations_api.connectors.retry import Patience

pytestmark = pytest.mark.anyio

SERVER = "https://git.example.com"


async def next_of(address: str) -> Link | None:
    headers = {"Link": f'<{address}>; rel="next"'}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=[], headers=headers))
    async with httpx.AsyncClient(transport=transport, base_url=SERVER) as http:
        patience = Patience(service="GitHub", budget_seconds=1)
        client = GitHubClient(http, addresses=addresses_of(SERVER), patience=patience, slot=nullcontext)
        return (await client.get("/repos/a/b/issues", {}, what="The repository a/b")).next


async def test_a_next_page_is_asked_for_by_its_path_and_query_alone() -> None:
    assert await next_of("https://elsewhere.example/api/v3/repositories/1/issues?page=2") == Link(
        "/repositories/1/issues", {"page": "2"}
    )


async def test_a_next_page_outside_of_the_api_is_not_asked_for() -> None:
    with pytest.raises(Refused, match="outside its API"):
        await next_of(f"{SERVER}/login/oauth/authorize?client_id=1")
