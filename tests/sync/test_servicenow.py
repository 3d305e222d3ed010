"""Whole syncs from the simulated ServiceNow, through connector, engine and API."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer, evolve
from tests.support.served import Served, served
from tests.support.syncing import Bench, bench

pytestmark = pytest.mark.anyio


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(ServiceNowInstance.with_incidents(120, seed=7)) as running:
        yield running


@asynccontextmanager
async def _service(
    database_url: str, simulator: SimulatorServer, **settings: Any
) -> AsyncIterator[tuple[Bench, Served, UUID]]:
    host = simulator.url.partition("//")[2]
    async with (
        bench(database_url, in_memory=False, egress_allowed_hosts=(host,), sync_page_size=50, **settings) as b,
        served(b) as api,
    ):
        integration = await b.integration(url=simulator.url, username="integration", password="simulator-password")
        yield b, api, integration


async def _stored(api: Served, integration: UUID) -> dict[str, tuple[str, str]]:
    """sys_id → (number, source time) of every incident at the head."""
    dataset = (await api.client.get(f"/knowledge/datasets/{integration}")).json()["dataset"]
    url = f"/knowledge/datasets/{integration}/versions/{dataset['head']}/incidents?limit=1000"
    incidents = (await api.client.get(url)).json()["incidents"]
    return {one["external_id"]: (one["number"], one["source_updated_at"]) for one in incidents}


def _table(simulator: SimulatorServer) -> dict[str, tuple[str, str]]:
    return {
        row["sys_id"]: (row["number"], row["sys_updated_on"].replace(" ", "T") + "Z")
        for row in simulator.instance.listing()
    }


async def test_the_dataset_equals_the_table_after_each_sync(database_url: str, simulator: SimulatorServer) -> None:
    async with _service(database_url, simulator) as (b, api, integration):
        first = await b.sync(integration)
        assert first.error is None
        assert await _stored(api, integration) == _table(simulator)

        evolve(simulator.instance, 60, seed=3)
        second = await b.sync(integration, mode="full")

        assert second.error is None
        assert await _stored(api, integration) == _table(simulator)
        assert second.verdict is not None
        assert second.verdict["state"] == "complete"


async def test_an_incident_reads_as_a_person_would_want_it(database_url: str, simulator: SimulatorServer) -> None:
    sys_id = simulator.instance.create(
        {"short_description": "VPN drops every hour", "description": "Since Monday.\nHome office only.", "state": "2"}
    )
    simulator.instance.work_note(sys_id, "Asked for the client's log.")
    async with _service(database_url, simulator) as (b, api, integration):
        await b.sync(integration)
        number = _table(simulator)[sys_id][0]

        incident = (await api.client.get(f"/knowledge/incidents/{number}")).json()["incident"]

        assert incident["title"] == "VPN drops every hour"
        assert "Since Monday.\nHome office only." in incident["text"]
        assert [note["text"] for note in incident["notes"]] == ["Asked for the client's log."]
        assert incident["attributes"]["state"] == "In Progress"
        assert incident["url"].startswith(simulator.url)
        assert (incident["version"], incident["change"]) == (1, "added")


async def test_a_connection_can_be_tested_and_previewed_before_it_is_used(
    database_url: str, simulator: SimulatorServer
) -> None:
    async with _service(database_url, simulator) as (b, api, integration):
        stored = (await api.client.post(f"/integrations/test/{integration}")).json()
        config = {"url": simulator.url, "username": "integration", "password": "wrong"}
        body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}
        unsaved = (await api.client.post("/integrations/test", json=body)).json()
        preview = (await api.client.get(f"/integrations/preview/{integration}")).json()

        assert stored["success"]
        assert "failed" not in [check["status"] for check in stored["checks"]]
        assert unsaved["success"]
        assert "failed" in [check["status"] for check in unsaved["checks"]]
        assert (preview["mode"], preview["to_read"], len(preview["incidents"])) == ("full", 120, 5)
        assert await b.rows("SELECT 1 FROM sync_runs") == []


async def test_an_edit_shows_its_effect_on_stored_incidents_before_it_is_stored(
    database_url: str, simulator: SimulatorServer
) -> None:
    async with _service(database_url, simulator) as (b, api, integration):
        await b.sync(integration)
        simulator.instance.create({"sys_id": "0" * 32})  # Comes first, and is not stored.
        fields = ["u_business_unit", {"name": "sys_created_by", "to": "text"}]
        config = {"url": simulator.url, "username": "integration", "password": "********", "fields": fields}
        body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}

        shown = (await api.client.post(f"/integrations/preview/{integration}", json=body)).json()

        assert (shown["mode"], shown["to_read"], len(shown["incidents"])) == ("full", 121, 5)
        for one in shown["incidents"]:
            assert one["fields"] == ["text", "attributes.u_business_unit"]
            assert "u_business_unit" not in one["before"]["attributes"]
            assert one["after"]["attributes"].pop("u_business_unit")
            heading, author = one["after"]["text"].rpartition("\n\n")[2].split(": ")
            assert (heading, bool(author)) == ("Sys created by", True)
            assert one["after"] | {"text": ""} == one["before"] | {"text": ""}
        assert len(await b.rows("SELECT 1 FROM sync_runs")) == 1
        unchanged = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        assert "fields" not in unchanged["config"]
        del config["fields"]
        modes = []
        for needs_full in (False, True):
            await b.change("UPDATE integrations SET needs_full = :it", it=needs_full)
            modes.append((await api.client.post(f"/integrations/preview/{integration}", json=body)).json()["mode"])
        assert modes == ["incremental", "full"]


async def test_a_preview_of_an_edit_is_an_edit_as_far_as_secrets_go(
    database_url: str, simulator: SimulatorServer
) -> None:
    async with _service(database_url, simulator) as (_, api, integration):
        path = f"/integrations/preview/{integration}"
        config = {"url": "https://elsewhere.example.com", "username": "integration", "password": "********"}
        body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}

        moved = await api.client.post(path, json=body)
        wrong = await api.client.post(path, json={**body, "config": {**config, "fields": [{"name": "!"}]}})
        config["url"] = simulator.url
        before_the_first_sync = await api.client.post(path, json=body)

        assert moved.status_code == 422
        assert moved.json()["message"].startswith("Re-enter the password")
        assert wrong.json()["errors"][0]["field"] == "config.fields.0"
        shown = before_the_first_sync.json()
        assert [one["before"] for one in shown["incidents"]] == [None] * 5
        assert shown["mode"] == "full"


async def test_columns_that_are_added_come_with_a_full_sync(database_url: str, simulator: SimulatorServer) -> None:
    async with _service(database_url, simulator) as (b, api, integration):
        await b.sync(integration)
        config = {
            "url": simulator.url, "username": "integration", "password": "********",
            "fields": ["u_business_unit", {"name": "sys_created_by", "to": "text"}],
        }  # fmt: skip
        body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}
        edited = await api.client.put(f"/integrations/update/{integration}", json=body)
        simulator.add_fault("hibernating")
        failed = await b.sync(integration)
        simulator.faults.clear()

        run = await b.sync(integration)

        assert failed.state == "failed"
        assert edited.json()["integration"]["config"]["fields"] == config["fields"]
        assert (run.mode, run.added, run.updated) == ("full", 0, 120)
        number = next(iter(_table(simulator).values()))[0]
        incident = (await api.client.get(f"/knowledge/incidents/{number}")).json()["incident"]
        assert incident["attributes"]["u_business_unit"]
        assert "Sys created by: " in incident["text"]
        version = (await api.client.get(f"/knowledge/datasets/{integration}/versions/2")).json()["version"]
        assert (
            version["note"] == "The source, the filter or the fields of the integration were changed before this sync"
        )


async def test_the_raw_records_of_the_latest_fetch_are_one_json_array_in_a_private_file(
    database_url: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    path = tmp_path / "raw" / "incidents.json"
    host = simulator.url.partition("//")[2]
    async with bench(database_url, in_memory=False, egress_allowed_hosts=(host,), raw_dump_path=str(path)) as b:
        integration = await b.integration(url=simulator.url, username="integration", password="simulator-password")

        run = await b.sync(integration)

        assert run.warnings == []
        saved = json.loads(path.read_text())
        assert {record["sys_id"]["value"] for record in saved} == set(_table(simulator))
        assert path.stat().st_mode & 0o777 == 0o600
        assert [one.name for one in path.parent.iterdir()] == ["incidents.json"]


async def test_an_unwritable_raw_file_is_a_warning_not_a_failure(
    database_url: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_text("a file where a folder should be")
    host = simulator.url.partition("//")[2]
    async with bench(
        database_url, in_memory=False, egress_allowed_hosts=(host,), raw_dump_path=str(tmp_path / "raw" / "x.json")
    ) as b:
        integration = await b.integration(url=simulator.url, username="integration", password="simulator-password")

        run = await b.sync(integration)

        assert run.state == "succeeded"
        assert [warning.startswith("The raw records were not saved to") for warning in run.warnings] == [True]


async def test_a_host_that_may_not_be_reached_fails_the_sync_with_words_and_a_remedy(database_url: str) -> None:
    async with bench(database_url, in_memory=False) as b:
        integration = await b.integration(url="https://127.0.0.1:9")

        run = await b.sync(integration)

        assert run.error is not None
        assert run.error.startswith("Failed to fetch incidents from ServiceNow: ")
        assert run.remedy is not None
        assert "EGRESS_ALLOWED_HOSTS" in run.remedy


async def test_a_sync_that_waits_for_the_source_is_cancelled_at_once_and_frees_its_worker(
    database_url: str, simulator: SimulatorServer
) -> None:
    simulator.add_fault("rate_limited", kind="seconds", wait=300, times=None)
    async with _service(database_url, simulator, worker_concurrency=1) as (b, api, integration):
        path = f"/integrations/sync/{integration}"
        seen = await api.watch("POST", path, stop_after=2)
        assert "asks to wait 300 s (rate limit)" in seen[1].data

        cancelled = await api.client.post(f"{path}/cancel")

        assert cancelled.json()["run"]["state"] == "cancelled"
        rest = await api.watch("POST", path, headers={"Last-Event-ID": seen[1].id})
        assert [event.event for event in rest] == ["error"]
        simulator.faults.clear()
        # The worker carries out one run at a time: it can do so only when it has let go of the one that waits.
        assert (await b.sync(integration)).added == 120
