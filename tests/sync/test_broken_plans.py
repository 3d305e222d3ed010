"""A plan that lost a line must not become a version with a document less."""

import pytest

from tests.support.gates import gate
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio


LOST = {
    "a line of the plan": "DELETE FROM staged_changes WHERE run_id = :run AND external_id = 'id-INC00002'",
    "a content": "DELETE FROM contents WHERE id = "
    "(SELECT content_id FROM staged_changes WHERE run_id = :run AND external_id = 'id-INC00002')",
}


@pytest.mark.parametrize("lost", LOST)
async def test_a_run_that_lost_what_it_planned_fails_and_publishes_nothing(lost: str, database_url: str) -> None:
    async with bench(database_url) as b:
        b.source.fill(12)
        integration = await b.integration()
        await b.sync(integration)
        b.source.change("INC00001", title="changed")
        b.source.change("INC00002", title="changed")
        async with gate(database_url, when="NEW.phase = 'ingesting' AND NEW.step > OLD.step") as closed:
            second = await b.start(integration)
            await closed.reached()
            await b.change(LOST[lost], run=second)
            await closed.open()
        broken = await b.finished(second)

        assert (broken.state, broken.error) == (
            "failed",
            f"The sync failed unexpectedly; the log tells more under run {second}",
        )
        assert set((await b.titles(integration)).values()) == {"Mail is down"}
