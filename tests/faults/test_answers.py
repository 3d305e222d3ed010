"""Answers that take too long or are cut off anywhere, and what odd text does to a stream: nothing."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from integrations_api.simulator.servicenow.faults.data import ODD_TEXTS
from tests.support.long import FULL
from tests.support.matrix import Product, product, source

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hasty(database_url: str) -> AsyncIterator[Product]:
    """A product, with a database of its own, that leaves an answer after half a second."""
    async with product(database_url, egress_timeout=timedelta(seconds=0.5)) as running:
        yield running


@pytest.mark.parametrize("fault", ["never_answers", "trickle"])
async def test_an_answer_that_does_not_end_is_left_in_time(hasty: Product, server: SimulatorServer, fault: str) -> None:
    copied = await hasty.connect(server)
    struck = server.add_fault(fault, times=2, skip=1)

    await copied.sync_well()

    assert struck.hits == 2
    await copied.assert_dataset_equals_source()


@pytest.mark.parametrize(
    "text",
    ODD_TEXTS if FULL else ODD_TEXTS[5:7],
    ids=[ascii(text)[1:18] for text in (ODD_TEXTS if FULL else ODD_TEXTS[5:7])],
)
async def test_odd_text_breaks_no_frame_of_the_stream(service: Product, text: str) -> None:
    with source(6) as server:
        for sys_id in server.instance.sys_ids()[::2]:
            server.instance.update(sys_id, {"number": f"INC-{sys_id[:6]} {text}", "short_description": text})
        copied = await service.connect(server)
        body = await _streamed(service, f"/integrations/sync/{copied.integration}")
        assert '"success":true' in body
        await copied.assert_dataset_equals_source()

        frames = [frame for frame in body.split("\n\n") if "data:" in frame]
        told = [_of(frame) for frame in frames]
        logged = await service.bench.events(_run_of(frames[0]))
        assert told == logged
        named = {number for _, data in logged for number in data.get("incidents", [])}
        assert named == {one["number"] for one in (await copied.listing()).values()}


async def _streamed(service: Product, path: str) -> str:
    answer = await service.api.client.post(path)
    assert answer.status_code == 200
    return answer.content.decode()


def _of(frame: str) -> tuple[str, dict[str, object]]:
    """A frame's event and data, which each stand on one line."""
    fields = [line.partition(": ")[::2] for line in frame.split("\n") if not line.startswith(":")]
    assert sorted(name for name, _ in fields if name != "retry") == ["data", "event", "id"]
    found = dict(fields)
    data: dict[str, object] = json.loads(found["data"])
    return found["event"], data


def _run_of(frame: str) -> UUID:
    """The run that a frame is of, by its id."""
    return UUID(next(line for line in frame.split("\n") if line.startswith("id: "))[4:].partition(":")[0])


@pytest.mark.long  # hundreds of syncs
async def test_json_that_is_cut_off_at_any_byte_is_not_taken_for_data(service: Product) -> None:
    with source(12) as server:
        copied = await service.connect(server, page_size=6)
        await copied.sync_well()

        for at_byte in range(0, 3000, 37):
            server.instance.update(server.instance.sys_ids()[at_byte % 12], {"short_description": f"Cut at {at_byte}"})
            server.add_fault("truncated_json", at_byte=at_byte, on="any", times=2, skip=at_byte % 5)
            await copied.sync_well("full")
            server.faults.clear()
            await copied.assert_dataset_equals_source()
            copied.advance(60)
