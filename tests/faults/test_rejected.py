"""Records that cannot be mapped: listed with their reason, tried again, and gone once the source has them no more."""

from typing import Any

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from tests.support.long import long
from tests.support.matrix import Copied, Product, table_of

pytestmark = pytest.mark.anyio


async def _listed(copied: Copied, run_id: object) -> list[dict[str, Any]]:
    answer = await copied.product.api.client.get(f"/integrations/runs/{run_id}/rejected")
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["rejected"]
    return listed


async def _rejected(copied: Copied, run_id: object) -> list[tuple[str, str]]:
    return [(one["external_id"], one["reason"]) for one in await _listed(copied, run_id)]


async def _numbers(copied: Copied, run_id: object) -> list[str | None]:
    return [one["number"] for one in await _listed(copied, run_id)]


@pytest.mark.parametrize("how", ["missing", long("null"), long("empty")])
async def test_a_record_that_cannot_be_mapped_is_listed_and_the_rest_goes_on(
    service: Product, server: SimulatorServer, how: str
) -> None:
    odd = server.instance.sys_ids()[4:40:9]
    server.add_fault("unmappable", field="number", how=how, sys_ids=odd)
    copied = await service.connect(server)

    first = await copied.sync_well()
    again = await copied.sync_well()
    server.faults.clear()
    for sys_id in odd:
        server.instance.update(sys_id)
    last = await copied.sync_well()

    assert await _rejected(copied, first.id) == [(sys_id, "The record has no number") for sys_id in odd]
    assert await _rejected(copied, again.id) == await _rejected(copied, first.id)
    assert (await _rejected(copied, last.id), last.added) == ([], len(odd))
    assert first.verdict is not None
    assert (first.verdict["state"], first.verdict["rejected"]) == ("short", len(odd))
    await copied.assert_dataset_equals_source()


async def test_a_record_that_is_too_much_by_itself_is_listed_until_a_full_sync_can_read_it(
    service: Product, server: SimulatorServer
) -> None:
    heavy = server.instance.sys_ids()[7]
    number = table_of(server.instance)[heavy]["number"]
    server.add_fault("too_much_alone", sys_ids=heavy)
    copied = await service.connect(server)

    first = await copied.sync_well()
    again = await copied.sync_well()
    server.faults.clear()
    last = await copied.sync_well("full")

    [(listed, reason)] = await _rejected(copied, first.id)
    assert (listed, reason.startswith("The answer broke off, though it was asked for alone")) == (heavy, True)
    assert await _rejected(copied, again.id) == [(listed, reason)]
    assert await _numbers(copied, first.id) == await _numbers(copied, again.id) == [number]
    assert first.verdict is not None
    assert (first.verdict["state"], first.verdict["rejected"]) == ("short", 1)
    assert (await _rejected(copied, last.id), last.added) == ([], 1)
    await copied.assert_dataset_equals_source()


@pytest.mark.parametrize("mode", ["incremental", "full"])
async def test_a_rejected_record_that_is_deleted_leaves_no_ghost(
    service: Product, server: SimulatorServer, mode: str
) -> None:
    known, never_known = server.instance.sys_ids()[3:5]
    copied = await service.connect(server)
    server.add_fault("unmappable", field="number", how="missing", sys_ids=[never_known])
    await copied.sync_well()
    server.add_fault("unmappable", field="number", how="missing", sys_ids=[known])
    copied.advance(600)
    server.instance.update(known, {"short_description": "Changed"})
    assert (await copied.sync_well()).rejected == 2
    server.instance.delete(known)
    server.instance.delete(never_known)
    copied.advance(600)

    run = await copied.sync_well("full" if mode == "full" else "incremental")

    assert set(await copied.listing()) == set(table_of(server.instance))
    assert (run.deleted, run.rejected, await _rejected(copied, run.id)) == (1, 0, [])
    assert run.verdict is not None
    assert run.verdict["state"] == "complete"
