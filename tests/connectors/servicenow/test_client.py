"""What is read of an answer's headers."""

from contextlib import nullcontext

import httpx
import pytest

from integrations_api.connectors.retry import Patience
from integrations_api.connectors.servicenow.client import ServiceNowClient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("told", "total"), [("120", 120), ("9" * 5000, None), ("many", None)])
async def test_a_count_that_no_table_can_have_is_none(told: str, total: int | None) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"result": []}, headers={"X-Total-Count": told})

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="https://x.example") as http:
        client = ServiceNowClient(http, patience=Patience(service="ServiceNow", budget_seconds=1), slot=nullcontext)
        answer = await client.page("incident", "", fields=["sys_id"], limit=1, count=True)

    assert answer.total == total
