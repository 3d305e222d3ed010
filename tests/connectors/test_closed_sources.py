"""What a source has asked of one request, to wait, holds for every other one to it."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import httpx
import pytest

from integrations_api.connectors.github.client import GitHubClient
from integrations_api.connectors.github.config import addresses_of
from integrations_api.connectors.jira.client import JiraClient
from integrations_api.connectors.retry import Patience
from integrations_api.connectors.servicenow.client import ServiceNowClient
from tests.connectors.copying import FastTime

pytestmark = pytest.mark.anyio

Ask = Callable[[httpx.AsyncClient, Patience], Awaitable[object]]


async def of_servicenow(http: httpx.AsyncClient, patience: Patience) -> object:
    client = ServiceNowClient(http, patience=patience, slot=nullcontext)
    return await client.page("incident", "", fields=["sys_id"], limit=1)


async def of_jira(http: httpx.AsyncClient, patience: Patience) -> object:
    return await JiraClient(http, patience=patience, slot=nullcontext).get("/rest/api/2/serverInfo")


async def of_github(http: httpx.AsyncClient, patience: Patience) -> object:
    client = GitHubClient(http, addresses=addresses_of(None), patience=patience, slot=nullcontext)
    return await client.get("/user", {}, what="The user")


@pytest.mark.parametrize("ask", [of_servicenow, of_jira, of_github])
async def test_no_request_leaves_while_the_source_has_asked_another_one_to_wait(ask: Ask) -> None:
    time, sent_at = FastTime(), []

    def respond(_: httpx.Request) -> httpx.Response:
        sent_at.append(time.moment)
        return httpx.Response(200, json={"result": []})

    patience = Patience(service="It", budget_seconds=600, time=time.time)
    patience.close_for(40)
    async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="https://x.example") as http:
        await ask(http, patience)

    assert (sent_at, time.slept) == ([1040.0], [40.0])
