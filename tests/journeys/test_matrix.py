"""Every service by every way of signing in, each with one whole journey through the product's own HTTP API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.cells import CELLS, Cell, Opened
from tests.support.served import Served, served
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio


@dataclass
class Journey:
    """An integration of one cell, from its creation on."""

    api: Served
    cell: Cell
    opened: Opened
    integration: str

    async def sync(self, mode: str = "incremental") -> dict[str, Any]:
        """A sync as a client sees it; the stats of its last event."""
        events = await self.api.watch("POST", f"/integrations/sync/{self.integration}?mode={mode}")
        first, last = events[0].json(), events[-1]
        assert first["message"] == f"Fetching {self.cell.noun} from {self.cell.service}..."
        assert last.event == "complete", last.data
        stats: dict[str, Any] = last.json()["stats"]
        return stats

    async def titles(self) -> dict[str, str]:
        """External id to title, of all that the head holds."""
        base = f"/knowledge/datasets/{self.integration}"
        head = (await self.api.client.get(base)).json()["dataset"]["head"]
        listed = await self.api.client.get(f"{base}/versions/{head}/incidents?limit=1000")
        return {one["external_id"]: one["title"] for one in listed.json()["incidents"]}


@asynccontextmanager
async def begun(database_url: str, cell: Cell) -> AsyncIterator[Journey]:
    """The product, the cell's source, and an integration that is connected to it."""
    with cell.opened() as opened:
        settings: dict[str, Any] = {"egress_allowed_hosts": ("127.0.0.1",), "sync_page_size": 20}
        async with bench(database_url, in_memory=False, **settings) as b, served(b) as api:
            yield Journey(api, cell, opened, await _created(api.client, cell, opened))


async def _created(client: httpx.AsyncClient, cell: Cell, opened: Opened) -> str:
    body = {"service_name": cell.service, "auth_type": cell.auth_type, "config": opened.config, "is_active": True}
    created = await client.post("/integrations/create", json=body)
    assert created.status_code == 201, created.text
    integration: str = created.json()["integration"]["id"]
    if cell.connect is not None:
        await cell.connect(client, integration, opened)
    return integration


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
async def test_a_journey_from_creation_to_a_complete_verdict(database_url: str, cell: Cell) -> None:
    async with begun(database_url, cell) as journey:
        source = journey.opened.source
        checks = (await journey.api.client.post(f"/integrations/test/{journey.integration}")).json()["checks"]
        assert [check for check in checks if check["status"] == "failed"] == []

        first = await journey.sync()
        assert (first["added"], first["verdict"]["state"]) == (len(source.titles()), "complete")
        assert await journey.titles() == source.titles()

        source.advance(3600)
        changed, dead, *_ = sorted(source.titles())
        source.update(changed, "Changed at the source")
        source.create("New at the source")
        second = await journey.sync()
        assert (second["added"], second["updated"], second["verdict"]["state"]) == (1, 1, "complete")
        assert await journey.titles() == source.titles()

        source.delete(dead)
        third = await journey.sync("full")
        assert (third["deleted"], third["verdict"]["state"]) == (1, "complete")
        assert await journey.titles() == source.titles()
