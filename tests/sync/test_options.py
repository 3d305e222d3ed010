"""What a config may say beyond the contract's keys, from the API to the simulated source and back."""

from collections.abc import AsyncIterator, Iterator

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from tests.support.matrix import Copied, Product, product, source

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Product]:
    async with product(database_url, sync_page_size=40) as running:
        yield running


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with source() as running:
        yield running


def _pages_asked(server: SimulatorServer) -> set[tuple[str, str]]:
    """Table and limit of every list of more than one row."""
    pages = [request for request in server.log.requests if request.kind == "page"]
    return {(request.path.rpartition("/")[2], request.params["sysparm_limit"]) for request in pages}


async def _change(copied: Copied, **options: object) -> None:
    """Edits the integration's config, as its form does."""
    path = f"/integrations/id/{copied.integration}"
    shown = (await copied.product.api.client.get(path)).json()["integration"]
    body = {key: shown[key] for key in ("service_name", "auth_type", "is_active")}
    body["config"] = {**shown["config"], **options}
    answer = await copied.product.api.client.put(f"/integrations/update/{copied.integration}", json=body)
    assert answer.status_code == 200, answer.text


async def _removed(copied: Copied) -> set[tuple[str, str]]:
    """Number and reason of what the head has no more, beside the version it was built upon."""
    path = f"/knowledge/datasets/{copied.integration}/versions/{await copied.head()}/diff?change=removed&limit=1000"
    answer = await copied.product.api.client.get(path)
    assert answer.status_code == 200, answer.text
    return {(one["number"], one["reason"]) for one in answer.json()["changes"]}


async def test_page_size_is_what_the_integration_says_else_what_the_setting_says(
    service: Product, server: SimulatorServer
) -> None:
    own = await service.connect(server, page_size=7)
    await own.sync_well()
    assert {limit for _, limit in _pages_asked(server)} >= {"7"}
    assert ("incident", "40") not in _pages_asked(server)

    server.log.clear()
    await _change(own, page_size=None)
    await own.sync_well("full")

    assert ("incident", "40") in _pages_asked(server)
    await own.assert_dataset_equals_source()


async def test_overlap_is_how_far_back_a_late_row_is_found(service: Product, server: SimulatorServer) -> None:
    patient = await service.connect(server, overlap="2h")
    hasty = await service.connect(server, overlap="5m")
    patient.advance(3600)
    server.instance.update(server.instance.sys_ids()[0], {"short_description": "The newest change"})
    for copied in (patient, hasty):
        await copied.sync_well()
    # More than an hour late: as much is read back where no row of this season tells what a time in a query means.
    late = server.instance.create({"short_description": "Committed late"}, at="2026-03-02 08:50:00")

    for copied in (patient, hasty):
        await copied.sync_well()

    assert late in await patient.listing()
    assert late not in await hasty.listing()
    await hasty.sync_well("full")
    await hasty.assert_dataset_equals_source()
    await patient.assert_dataset_equals_source()


async def test_a_filter_limits_what_is_read_and_another_filter_is_a_full_sync(
    service: Product, server: SimulatorServer
) -> None:
    copied = await service.connect(server, filter="state=2")
    first = await copied.sync_well()
    await copied.assert_dataset_equals_source(matches={"state": ["2"]})
    assert first.verdict is not None
    assert (first.verdict["state"], first.verdict["source"]) == ("complete", first.added)
    left_out = {one["number"] for one in (await copied.listing()).values()}

    await _change(copied, filter="stateIN1,3")
    second = await copied.sync_well()

    assert second.mode == "full"
    await copied.assert_dataset_equals_source(matches={"state": ["1", "3"]})
    assert await _removed(copied) == {(number, "out_of_filter") for number in left_out}


async def test_a_table_is_read_in_the_place_of_incidents(service: Product, server: SimulatorServer) -> None:
    copied = await service.connect(server, table="problem", page_size=5)

    run = await copied.sync_well()

    assert run.added == len(server.instance.sys_ids("problem")) > 5
    assert set(await copied.listing()) == set(server.instance.sys_ids("problem"))
    assert {table for table, _ in _pages_asked(server)} <= {"problem", "sys_audit_delete"}
    assert run.verdict is not None
    assert run.verdict["state"] == "complete"
