"""An upgrade under load: `migrate` runs while a sync does, two releases work side by side, readers notice nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import pytest

from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer, evolve
from integrations_api.vault.bootstrap import generate_secrets
from tests.journeys.test_handover import admin_token
from tests.support.processes import PATIENCE
from tests.support.releases import TOMORROW, last_release, tomorrows_release
from tests.support.sites import Site, held_after_page, read_all_the_time

INCIDENTS = 80


@pytest.fixture
def source() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(INCIDENTS, seed=11)) as server:
        yield server


@pytest.fixture
def settings(source: SimulatorServer) -> dict[str, str]:
    return {
        **generate_secrets(),
        "EGRESS_ALLOWED_HOSTS": source.url.removeprefix("http://"),
        "SYNC_PAGE_SIZE": "20",
        "SYNC_FETCH_CONCURRENCY": "1",
        "RAW_DUMP_PATH": "",
        "ACCESS_RATE_FACTOR": "1000",
    }


def test_processes_of_this_release_work_on_while_tomorrow_s_is_brought_in(
    settings: dict[str, str], database_url: str, source: SimulatorServer, tmp_path: Path
) -> None:
    site = Site(tmp_path, {**settings, "DATABASE_URL": database_url})
    site.token = anyio.run(admin_token, site.settings)
    tomorrow = tomorrows_release(tmp_path / "tomorrow")
    with site.api() as today, site.process("worker"):
        integration = today.connect(source)
        today.sync(integration)
        before = today.exports(integration)
        evolve(source.instance, 30, seed=3)
        versions = f"/knowledge/datasets/{integration}/versions"
        read = (f"{versions}/1/incidents", f"{versions}/1/export", "/knowledge/search?q=mail", "/integrations/all")

        with read_all_the_time(today, *read, "/readyz") as wrong, ThreadPoolExecutor() as two:
            with held_after_page(source, 3) as reached:
                run_id = today.begin(integration, mode="full")
                assert reached.wait(PATIENCE)
                said = list(two.map(lambda _: site.command("migrate", code=tomorrow), range(2)))
            run = today.ended(run_id)

        assert wrong == []
        assert all(TOMORROW in one for one in said)
        assert (run["state"], run["attempt"], run["verdict"]["state"]) == ("succeeded", 1, "complete")
        with site.api(code=tomorrow) as new:
            assert new.exports(integration) == today.exports(integration)
            assert new.exports(integration)[1] == before[1]
            assert new.sync(integration, mode="full")["verdict"]["state"] == "complete"


@pytest.mark.long
def test_the_release_before_hands_its_work_over_to_this_one(
    settings: dict[str, str], empty_database_url: str, source: SimulatorServer, tmp_path: Path
) -> None:
    site = Site(tmp_path, {**settings, "DATABASE_URL": empty_database_url})
    before = last_release(tmp_path / "before")
    if before is None:
        pytest.skip("git's history is not here: a shallow clone")
    site.command("migrate", code=before)
    site.sign_in(code=before)
    with site.api(code=before) as old:
        with site.process("worker", code=before):
            integration = old.connect(source)
            old.sync(integration)
            first = old.exports(integration)
            evolve(source.instance, 30, seed=3)
            read = f"/knowledge/datasets/{integration}/versions/1/export"
            with read_all_the_time(old, read) as wrong, held_after_page(source, 3) as reached:
                run_id = old.begin(integration, mode="full")
                assert reached.wait(PATIENCE)
                site.command("migrate")
        with site.process("worker"), site.api() as new:
            run = new.ended(run_id)
            assert wrong == []
            assert (run["state"], run["attempt"], run["verdict"]["state"]) == ("succeeded", 2, "complete")
            exports = new.exports(integration)
            assert exports[1] == first[1]
            assert exports == old.exports(integration)
            stats = new.sync(integration, mode="full")
            assert (stats["added"], stats["updated"], stats["verdict"]["state"]) == (0, 0, "complete")
