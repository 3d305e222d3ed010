"""Somebody waits for a preview: a source that makes it wait is told of, and not waited for."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.connectors.http import parse_json
from integrations_api.connectors.servicenow import answers
from integrations_api.simulator.servicenow import SimulatorServer
from integrations_api.sync import trial
from tests.support.matrix import product, source

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with source() as running:
        yield running


async def test_a_preview_does_not_wait_as_long_as_a_sync_may(database_url: str, server: SimulatorServer) -> None:
    async with product(database_url) as service:
        integration = (await service.connect(server)).integration
        server.faults.add("rate_limited", wait=120)

        answer = await service.api.client.get(f"/integrations/preview/{integration}")

        assert (answer.status_code, answer.json()["message"]) == (
            503,
            "Failed to fetch incidents from ServiceNow: Rate limit exceeded. ServiceNow asks to wait 120 s, longer "
            "than the 10 s that are waited here (a sync waits for SYNC_RETRY_BUDGET): try again or resume the run "
            "later, or raise the limit on either side",
        )


async def test_a_preview_reads_no_more_at_once_than_it_has_to(
    database_url: str, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a sync may have 200 MB: read here, it would keep everybody waiting, and take the API's memory."""
    read: list[int] = []

    def parse_and_note(body: bytes) -> tuple[Any, bool]:
        read.append(len(body))
        return parse_json(body)

    monkeypatch.setattr(answers, "parse_json", parse_and_note)
    async with product(database_url, sync_fetch_concurrency=1) as service:
        integration = (await service.connect(server)).integration
        server.instance.update_many(sorted(server.instance.sys_ids())[:10], {"description": "x" * 4_000_000})

        answer = await service.api.client.get(f"/integrations/preview/{integration}")

        assert (answer.status_code, len(answer.json()["incidents"])) == (200, 5)
        assert 4_000_000 < max(read) < 25_000_000


async def test_a_preview_of_a_source_that_refuses_says_what_to_do(database_url: str, server: SimulatorServer) -> None:
    async with product(database_url) as service:
        integration = (await service.connect(server)).integration
        server.faults.add("forbidden")

        answer = await service.api.client.get(f"/integrations/preview/{integration}")

        assert "was refused (403)" in answer.json()["message"]
        assert answer.json()["message"].endswith(
            ". Give the user a role that may read incident, such as sn_incident_read"
        )


async def test_a_preview_of_a_source_that_says_nothing_ends_in_time(
    database_url: str, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 1.0)
    async with product(database_url) as service:
        integration = (await service.connect(server)).integration
        server.faults.add("never_answers")

        answer = await service.api.client.get(f"/integrations/preview/{integration}")

        assert (answer.status_code, answer.json()["message"]) == (
            503,
            "Failed to fetch incidents from ServiceNow: It took longer than 1 s",
        )
