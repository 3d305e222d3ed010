"""The stream of a POST to its last byte: the contract's example, and what begins no sync or ends one."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer
from integrations_api.sync.executor import SOURCE_CHANGED
from integrations_api.worker_wiring import build_worker
from tests.support.served import Served, served
from tests.support.syncing import PATIENCE, bench

pytestmark = pytest.mark.anyio

NUMBERS = [f"INC{n:03d}" for n in range(1, 19)]
EXAMPLE = """\
event: progress
data: {"batch":0,"totalBatches":0,"message":"Fetching incidents from ServiceNow..."}

event: progress
data: {"batch":0,"totalBatches":4,"totalIncidents":18,"message":"Ingesting 18 incidents in 4 batch(es)..."}

event: progress
data: {"batch":1,"totalBatches":4,"incidents":["INC001","INC002","INC003","INC004","INC005"],"totalIncidents":18,"message":"Batch 1 of 4 processed (5 incidents)"}

event: progress
data: {"batch":2,"totalBatches":4,"incidents":["INC006","INC007","INC008","INC009","INC010"],"totalIncidents":18,"message":"Batch 2 of 4 processed (5 incidents)"}

event: progress
data: {"batch":3,"totalBatches":4,"incidents":["INC011","INC012","INC013","INC014","INC015"],"totalIncidents":18,"message":"Batch 3 of 4 processed (5 incidents)"}

event: progress
data: {"batch":4,"totalBatches":4,"incidents":["INC016","INC017","INC018"],"totalIncidents":18,"message":"Batch 4 of 4 processed (3 incidents)"}

event: complete
data: """  # noqa: E501 - the contract's own lines
FIRST_TEN = (
    "id", "service_name", "auth_type", "config", "is_active", "last_synced_at", "last_sync_status", "last_sync_error",
    "updated_at", "user_id",
)  # fmt: skip


@pytest.fixture
def simulator() -> Iterator[SimulatorServer]:
    instance = ServiceNowInstance.with_incidents(0, seed=7)
    for number in NUMBERS:
        instance.create({"number": number})
    with SimulatorServer(instance) as running:
        yield running


async def frames_of(api: Served, path: str) -> str:
    """What a POST of a sync streams, without what stands beside the contract's lines."""
    async with asyncio.timeout(PATIENCE):
        answer = await api.client.post(path)
    assert answer.status_code == 200
    beside = ("id:", "retry:", ":")
    return "".join(line for line in answer.text.splitlines(keepends=True) if not line.startswith(beside))


@pytest.mark.parametrize("page_size", [1000, 18])
async def test_eighteen_incidents_of_a_source_in_one_page_are_the_contracts_stream_to_the_byte(
    database_url: str, simulator: SimulatorServer, page_size: int
) -> None:
    host = simulator.url.partition("//")[2]
    async with (
        bench(database_url, in_memory=False, egress_allowed_hosts=(host,), sync_page_size=page_size) as b,
        served(b) as api,
    ):
        integration = await b.integration(url=simulator.url, username="integration", password="simulator-password")
        path = f"/integrations/sync/{integration}"

        first = await frames_of(api, path)
        again = await frames_of(api, f"{path}?mode=full")

        assert first.startswith(EXAMPLE)
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        told = json.loads(first.removeprefix(EXAMPLE))
        assert list(told) == ["success", "integration", "stats"]
        assert tuple(told["integration"])[:10] == FIRST_TEN
        assert list(told["integration"]["config"]) == ["url", "username", "password", "lastSynced"]
        at = told["stats"]["last_synced"]
        assert list(told["stats"].items())[:3] == [("added", 18), ("total", 18), ("last_synced", at)]
        assert {told["integration"][name] for name in ("last_synced_at", "updated_at")} == {at}
        assert (told["stats"]["version"], told["stats"]["verdict"]["state"]) == (1, "complete")
        assert again.startswith(EXAMPLE[: EXAMPLE.index("\n\n") + 2] + "event: complete\n")
        told = json.loads(again.rpartition("data: ")[2])
        assert told["integration"] == shown | {"running_run_id": None}
        stats = told["stats"]
        assert (stats["added"], stats["total"], stats["unchanged"], stats["version"]) == (0, 0, 18, None)


async def test_an_event_is_one_line_to_readers_that_end_lines_at_other_signs_too(database_url: str) -> None:
    odd = "one\x85two\u2028three\u2029four"
    async with bench(database_url) as b, served(b) as api:
        integration = await b.integration(note=odd)

        async with api.client.stream("POST", f"/integrations/sync/{integration}") as stream:
            lines = [line async for line in stream.aiter_lines() if line and not line.startswith("id:")]

        assert {line.partition(":")[0] for line in lines} == {"event", "data"}
        assert json.loads(lines[-1].removeprefix("data: "))["integration"]["config"]["note"] == odd


async def test_what_cannot_be_synced_is_told_in_the_contracts_words_and_begins_no_run(database_url: str) -> None:
    async with bench(database_url, workers=0, in_memory=False) as b, served(b) as api:
        body: dict[str, Any] = {"service_name": "Zendesk", "auth_type": "basic_auth", "config": {}, "is_active": True}
        created = (await api.client.post("/integrations/create", json=body)).json()["integration"]
        path = f"/integrations/sync/{created['id']}"

        unsupported = await frames_of(api, path)
        renamed = {**body, "service_name": "servicenow Production"}
        edited = await api.client.put(f"/integrations/update/{created['id']}", json=renamed)
        incomplete = await frames_of(api, path)

        assert edited.status_code == 200
        assert unsupported.startswith('event: error\ndata: {"success":false,"message":"Synchronizing Zendesk')
        assert incomplete == (
            'event: error\ndata: {"success":false,'
            '"message":"Missing ServiceNow configuration (url, username, password)"}\n\n'
        )
        assert await b.rows("SELECT 1 FROM sync_runs") == []


async def test_where_such_a_connection_is_tested_the_422_lists_every_field_that_stands_in_the_way(
    database_url: str,
) -> None:
    async with bench(database_url, workers=0, in_memory=False) as b, served(b) as api:
        config = {"url": "https://dev1.service-now.com"}
        body = {"service_name": "Zendesk", "auth_type": "basic_auth", "config": config, "is_active": True}
        created = (await api.client.post("/integrations/create", json=body)).json()["integration"]

        unknown = await api.client.post("/integrations/test", json=body)
        await api.client.put(f"/integrations/update/{created['id']}", json={**body, "service_name": "ServiceNow"})
        paths = (f"/integrations/test/{created['id']}", f"/integrations/preview/{created['id']}")
        incomplete = [await api.client.request(verb, path) for verb, path in zip(("POST", "GET"), paths, strict=True)]

        assert [answer.status_code for answer in (unknown, *incomplete)] == [422, 422, 422]
        assert unknown.json()["errors"] == [
            {"field": "service_name", "message": "the first word must be ServiceNow, Jira or GitHub"}
        ]
        for answer in incomplete:
            assert answer.json() == {
                "success": False,
                "message": "Missing ServiceNow configuration (url, username, password)",
                "errors": [
                    {"field": "config.username", "message": "is required"},
                    {"field": "config.password", "message": "is required"},
                ],
            }


async def test_a_post_that_wants_to_resume_never_starts_a_run(database_url: str) -> None:
    async with bench(database_url, workers=0) as b, served(b) as api:
        integration, other = await b.integration(), await b.integration()
        theirs = await b.start(other)

        for event_id in ("", "5", "not-a-run:1", f"{UUID(int=1)}:1", f"{theirs}:1"):
            for way in ({"headers": {"Last-Event-ID": event_id}}, {"params": {"last_event_id": event_id}}):
                (event,) = await api.watch("POST", f"/integrations/sync/{integration}", stop_after=1, **way)
                assert (event.event, json.loads(event.data)["success"]) == ("error", False), way

        assert [run.id for run in await b.rows("SELECT id FROM sync_runs")] == [theirs]


async def test_an_edit_that_points_elsewhere_ends_the_sync_and_any_other_leaves_it_alone(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(3)
        integration = await b.integration()
        await b.sync(integration)
        b.source.gate = asyncio.Event()
        b.source.reached.clear()
        watching = asyncio.create_task(api.watch("POST", f"/integrations/sync/{integration}"))
        await asyncio.wait_for(b.source.reached.wait(), PATIENCE)
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]
        run_id = shown["running_run_id"]

        for changes in ({"username": "other"}, {"password": "another"}, {"page_size": 50}):
            shown = await edited(api, shown, **changes)
            assert shown["running_run_id"] == run_id
        await next(duty for name, _, duty in build_worker(b.components).duties if name == "watch")()
        assert (await b.run(UUID(run_id))).state == "running"
        await edited(api, shown, filter="active=true")
        last = (await watching)[-1]
        b.source.gate.set()
        after = await b.sync(integration)

        assert (last.event, json.loads(last.data)) == ("error", {"success": False, "message": SOURCE_CHANGED})
        assert (await b.run(UUID(run_id))).state == "cancelled"
        assert (after.state, after.mode) == ("succeeded", "full")


async def test_a_time_sent_with_the_config_is_where_the_next_sync_begins(database_url: str) -> None:
    async with bench(database_url) as b, served(b) as api:
        b.source.fill(5)  # One each second of 2026-03-01, from 00:00:01 on.
        integration = await b.integration(lastSynced="2026-03-01T01:00:04+01:00")
        shown = (await api.client.get(f"/integrations/id/{integration}")).json()["integration"]

        first = await b.sync(integration)
        again = await edited(api, shown, lastSynced="2026-03-01T00:00:02Z")
        second = await b.sync(integration)
        third = await b.sync(integration, mode="full")

        assert (shown["last_synced_at"], shown["config"]["lastSynced"]) == (None, "2026-03-01T00:00:04Z")
        assert again["config"]["lastSynced"] == "2026-03-01T00:00:02Z"
        assert [(run.mode, run.added, run.unchanged) for run in (first, second, third)] == [
            ("incremental", 2, 0),
            ("incremental", 2, 2),
            ("full", 1, 4),
        ]


async def edited(api: Served, shown: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The integration after an edit of its config."""
    body = {**shown, "config": {**shown["config"], **changes}}
    answer = await api.client.put(f"/integrations/update/{shown['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["integration"])
