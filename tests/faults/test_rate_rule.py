"""An administrator's rate rule that allows fewer requests an hour than a first load needs."""

from itertools import pairwise

import pytest

from integrations_api.simulator.servicenow import SimulatorServer
from integrations_api.sync.models import SyncRun
from tests.support.matrix import Copied, Product

pytestmark = pytest.mark.anyio


async def _resumed(copied: Copied, run: SyncRun) -> SyncRun:
    answer = await copied.product.api.client.post(f"/integrations/runs/{run.id}/resume")
    assert answer.status_code == 200, answer.text
    return await copied.finished(run.id)


async def test_a_first_load_that_the_rate_rule_stops_goes_on_in_the_next_hour_where_it_was(
    service: Product, server: SimulatorServer
) -> None:
    copied = await service.connect(server)
    server.add_fault("rate_rule", per_hour=6)

    runs = [await copied.sync()]
    while runs[-1].state == "failed" and len(runs) < 10:
        copied.advance(3600)
        runs.append(await _resumed(copied, runs[-1]))

    assert len(runs) > 2
    assert {run.error for run in runs[:-1]} == {"Failed to fetch incidents from ServiceNow: Rate limit exceeded"}
    assert {run.remedy for run in runs[:-1]} == {
        "ServiceNow asks to wait 3600 s, longer than the 600 s that are waited here (a sync waits for "
        "SYNC_RETRY_BUDGET): try again or resume the run later, or raise the limit on either side"
    }
    assert all(after.fetched > before.fetched for before, after in pairwise(runs[:-1]))
    assert (runs[-1].state, runs[-1].fetched, runs[-1].added) == ("succeeded", 90, 90)
    await copied.assert_dataset_equals_source()
