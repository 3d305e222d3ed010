"""Many wish for a sync at once, of several API processes before several workers: there is one run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event

import httpx
import pytest

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.settings import Settings
from integrations_api.simulator.servicenow import AfterPage, SimulatorServer
from tests.support.applications import PASSWORD
from tests.support.matrix import Copied, Product, product
from tests.support.processes import PATIENCE, as_environment, running

pytestmark = pytest.mark.anyio

WISHES = 50


@asynccontextmanager
async def _held_open(server: SimulatorServer) -> AsyncIterator[None]:
    """No page leaves the source meanwhile, so that every wish comes while the first run is going on."""
    go_on = Event()

    def wait(_: int) -> None:
        go_on.wait(PATIENCE)

    server.add_fault(AfterPage(wait))
    try:
        yield
    finally:
        go_on.set()
        server.faults.clear()


async def _last_event(client: httpx.AsyncClient, url: str, first_seen: asyncio.Semaphore) -> str:
    """The last `data:` line of one wish's stream; `first_seen` is released at its first event."""
    last = ""
    async with client.stream("POST", url) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                if not last:
                    first_seen.release()
                last = line
    return last


async def _wish_together(copied: Copied, clients: list[httpx.AsyncClient]) -> set[str]:
    """The last event that each of 50 simultaneous wishes got, each one once."""
    seen = asyncio.Semaphore(0)
    path = f"/integrations/sync/{copied.integration}"
    async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group, _held_open(copied.server):
        tasks = [group.create_task(_last_event(clients[i % len(clients)], path, seen)) for i in range(WISHES)]
        for _ in tasks:
            await seen.acquire()
    return {task.result() for task in tasks}


async def _assert_one_run(service: Product, copied: Copied, ends: set[str]) -> None:
    runs = await service.bench.rows(
        "SELECT state, attempt FROM sync_runs WHERE dataset_id = :id", id=copied.integration
    )
    assert [tuple(run) for run in runs] == [("succeeded", 1)]
    assert len(ends) == 1
    assert '"success":true' in ends.pop()
    await copied.assert_dataset_equals_source()


async def test_simultaneous_wishes_make_one_run_and_all_see_its_end(database_url: str, server: SimulatorServer) -> None:
    # A connection for each: with fewer, whoever waits for one longer than ten seconds is sent away.
    async with product(database_url, workers=3, database_pool_size=2 * WISHES) as service:
        copied = await service.connect(server)

        ends = await _wish_together(copied, [service.api.client])

        await _assert_one_run(service, copied, ends)


@pytest.mark.long  # five processes
async def test_two_api_processes_and_three_workers_make_one_run(
    database_url: str, server: SimulatorServer, tmp_path: Path
) -> None:
    async with product(database_url, workers=0) as service, AsyncExitStack() as stack:
        copied = await service.connect(server, page_size=20)
        settings = as_environment(service.bench.components[Settings])
        urls = []
        for name in ("worker1", "worker2", "worker3", "api1", "api2"):
            home = tmp_path / name
            home.mkdir()
            words = ("serve", "--no-worker", "--port", "0") if name.startswith("api") else ("worker",)
            process = stack.enter_context(running(home, *words, settings=settings))
            if name.startswith("api"):
                urls.append(await asyncio.to_thread(process.wait_until_ready))
            else:
                await asyncio.to_thread(process.wait_to_say, "worker.started")
        headers = await _admin(service)
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE))
            for url in urls
        ]

        ends = await _wish_together(copied, clients)

        await _assert_one_run(service, copied, ends)


async def _admin(service: Product) -> dict[str, str]:
    access = service.bench.components[AccessService]
    await access.create_user(email="wishes@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
    token = await access.issue_token("wishes@example.com", timedelta(hours=1))
    return {"Authorization": f"Bearer {token.text}"}
