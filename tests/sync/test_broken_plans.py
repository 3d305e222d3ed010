"""A plan that lost a line must not become a version with a document less."""

import pytest

from tests.support.gates import gate
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("lost", ["staged_changes", "raw_records"])
async def test_a_run_whose_plan_lost_a_line_fails_and_publishes_nothing(lost: str, database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="changed")
        b.source.change("INC00002", title="changed")
        async with gate(database_url, when="NEW.phase = 'ingesting' AND NEW.step > OLD.step") as closed:
            second = await b.start(integration)
            await closed.reached()
            await b.change(f"DELETE FROM {lost} WHERE run_id = :run AND external_id = 'id-INC00002'", run=second)
            await closed.open()
        broken = await b.finished(second)

        assert (broken.state, broken.error) == (
            "failed",
            f"The sync failed unexpectedly; the log tells more under run {second}",
        )
        assert set((await b.titles(integration)).values()) == {"Mail is down"}
