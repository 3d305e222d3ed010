"""What is read of an answer, and what goes on meanwhile."""

import asyncio
import time
from contextlib import nullcontext
from typing import Any

import httpx
import pytest

from integrations_api.connectors.retry import Patience
from integrations_api.connectors.servicenow import answers, client
from integrations_api.connectors.servicenow.client import ServiceNowClient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("told", "total"), [("120", 120), ("9" * 5000, None), ("many", None)])
async def test_a_count_that_no_table_can_have_is_none(told: str, total: int | None) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"result": []}, headers={"X-Total-Count": told})

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="https://x.example") as http:
        answer = await speaking_by(http).page("incident", "", fields=["sys_id"], limit=1, count=True)

    assert answer.total == total


def speaking_by(http: httpx.AsyncClient) -> ServiceNowClient:
    return ServiceNowClient(http, patience=Patience(service="ServiceNow", budget_seconds=1), slot=nullcontext)


async def test_others_go_on_while_a_large_page_is_made_storable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred megabytes take as long as a worker may be silent, which then loses its runs."""

    def slowly(value: Any) -> Any:
        time.sleep(0.2)
        ticks_meanwhile.append(ticks)
        return value

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"result": [{"sys_id": "a", "text": "NUL \0" + 1000 * "x"}]})

    ticks, ticks_meanwhile = 0, list[int]()
    monkeypatch.setattr(answers, "storable_json", slowly)
    monkeypatch.setattr(client, "LARGE", 1000)
    async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="https://x.example") as http:
        reading = asyncio.create_task(speaking_by(http).page("incident", "", fields=["sys_id"], limit=1))
        while not reading.done():
            await asyncio.sleep(0.01)
            ticks += 1

    assert len((await reading).rows) == 1
    assert ticks_meanwhile[0] > 5
