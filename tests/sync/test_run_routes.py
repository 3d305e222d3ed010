"""Runs, the records they could not map, and the datasets they fill, as lists over HTTP: shape, order and pages."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from tests.support.served import Served, served
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio

RUN = (
    "id", "integration_id", "mode", "trigger", "state", "phase", "attempt", "requested_by", "created_at", "started_at",
    "finished_at", "fetched", "added", "updated", "unchanged", "deleted", "rejected", "version", "verdict", "error",
    "remedy",
)  # fmt: skip
DATASET = ("integration_id", "service_name", "head", "documents", "tombstones", "verdict")


async def pages_of(api: Served, path: str, name: str, *, limit: int) -> Sequence[list[Any]]:
    """The pages of a list, up to the one that names no next."""
    pages: list[list[Any]] = []
    cursor = None
    while cursor is not None or not pages:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = (await api.client.get(path, params=query)).json()
        assert list(answer) == ["success", name, "next_cursor"]
        pages.append(answer[name])
        cursor = answer["next_cursor"]
    return pages


async def test_runs_come_newest_first_in_pages_and_each_alone_as_in_the_list(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(2)
        integration, other = await b.integration(), await b.integration()
        ran = [await b.sync(integration) for _ in range(4)]
        await b.sync(other)
        path = f"/integrations/sync/{integration}/runs"

        pages = await pages_of(api, path, "runs", limit=2)
        alone = (await api.client.get(f"/integrations/runs/{ran[0].id}")).json()

        assert [[run["id"] for run in page] for page in pages] == [
            [str(ran[3].id), str(ran[2].id)],
            [str(ran[1].id), str(ran[0].id)],
        ]
        first = pages[-1][-1]
        assert tuple(first)[: len(RUN)] == RUN
        assert alone == {"success": True, "run": first}
        told = {name: first[name] for name in ("integration_id", "mode", "state", "added", "version", "error")}
        assert told == {
            "integration_id": str(integration), "mode": "full", "state": "succeeded", "added": 2, "version": 1,
            "error": None,
        }  # fmt: skip
        assert all(time.endswith("Z") and len(time) == 20 for name, time in first.items() if name.endswith("_at"))
        await api.client.delete(f"/integrations/delete/{integration}")
        assert await pages_of(api, path, "runs", limit=1000) == [[*pages[0], *pages[1]]]
        for unknown in (f"/integrations/sync/{uuid4()}/runs", f"/integrations/runs/{uuid4()}", "/integrations/runs/x"):
            assert (await api.client.get(unknown)).status_code == 404, unknown


async def test_what_a_run_could_not_map_is_listed_with_its_reason_in_pages(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(4)
        for number in ("INC00001", "INC00002", "INC00003"):
            b.source.rows[f"id-{number}"]["number"] = ""
        run = await b.sync(await b.integration())

        pages = await pages_of(api, f"/integrations/runs/{run.id}/rejected", "rejected", limit=2)

        assert [[one["external_id"] for one in page] for page in pages] == [
            ["id-INC00001", "id-INC00002"],
            ["id-INC00003"],
        ]
        assert pages[0][0] == {
            "external_id": "id-INC00001", "number": None, "reason": "it has no number",
            "source_updated_at": "2026-03-01T00:00:01Z",
        }  # fmt: skip


async def test_datasets_come_newest_first_also_those_that_lost_their_integration(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(1)
        integrations = [await b.integration() for _ in range(3)]
        for integration in integrations:
            await b.sync(integration)
        await api.client.delete(f"/integrations/delete/{integrations[1]}")

        answer = (await api.client.get("/knowledge/datasets")).json()

        assert list(answer) == ["success", "datasets"]
        assert [one["integration_id"] for one in answer["datasets"]] == [str(one) for one in reversed(integrations)]
        assert [one["integration_deleted"] for one in answer["datasets"]] == [False, True, False]
        assert all(
            set(DATASET) <= one.keys() and (one["head"], one["documents"]) == (1, 1) for one in answer["datasets"]
        )
