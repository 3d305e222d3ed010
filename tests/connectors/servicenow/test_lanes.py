"""A lane gives its pages away: what was read is not kept while the next page is on its way."""

import asyncio
import weakref
from typing import Any, cast

import pytest

from integrations_api.connectors.retry import Patience
from integrations_api.connectors.servicenow.client import Rows, ServiceNowClient
from integrations_api.connectors.servicenow.lanes import Cursor, LaneReader, Source
from integrations_api.connectors.servicenow.query import Range

pytestmark = pytest.mark.anyio


class Seen(dict[str, Any]):
    """A row of which it can be seen when it is given back."""


class OnePage:
    """Answers once, and never again."""

    def __init__(self) -> None:
        self.patience = Patience(service="ServiceNow", budget_seconds=1)
        self.row: weakref.ref[Seen] | None = None
        self.is_asked_again = asyncio.Event()

    async def page(self, *_: Any, limit: int, **__: Any) -> Rows:
        if self.row is not None:
            self.is_asked_again.set()
            await asyncio.Event().wait()
        row = Seen(sys_id="1", number="INC1")
        self.row = weakref.ref(row)
        return Rows([row], None, None, limit)


async def test_the_records_of_a_page_are_not_kept_while_the_next_one_is_read() -> None:
    client = OnePage()
    source = Source(cast(ServiceNowClient, client), "incident", "", ["sys_id"], (), page_size=1)
    pages = LaneReader(source=source, lane="all", cursor=Cursor((Range(),), None)).pages()

    async def take() -> int:
        return len((await anext(pages)).records)

    assert await take() == 1
    waiting = asyncio.create_task(take())
    await client.is_asked_again.wait()
    assert client.row is not None
    assert client.row() is None

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
