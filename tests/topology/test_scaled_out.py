"""Two API replicas behind nginx, three workers, twenty sources and five hundred watchers; one of each is killed."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.settings import Settings
from tests.support.applications import PASSWORD
from tests.support.processes import Running, as_environment, several
from tests.support.proxies import Proxy, running_proxy
from tests.support.source_process import Sources, running_sources
from tests.support.syncing import Bench, bench
from tests.topology.watchers import Crowd, Watcher, Way

pytestmark = pytest.mark.anyio

SOURCES = 20
INCIDENTS = 250
"""In the smallest of the sources."""
LATENCY = 200
"""Milliseconds in which a source answers, as real ones do: so the syncs are at different points at any time."""
WATCHERS_EACH = 25
POSTING_EACH = 5
SECONDS = 600
ADDRESS = "127.0.0.9"
"""Where the administrator calls from: loopback, but not the address that nginx calls the replicas from."""
MADE_UP = "198.51.100.7"


@dataclass
class System:
    """All that was started, and how to reach it."""

    bench: Bench
    proxy: Proxy
    replicas: list[Running]
    workers: list[Running]
    sources: Sources
    client: httpx.AsyncClient

    async def get(self, path: str, **query: Any) -> Any:
        return (await self.client.get(path, params=query)).raise_for_status().json()

    async def post(self, path: str, body: Any = None) -> Any:
        return (await self.client.post(path, json=body)).raise_for_status().json()


@asynccontextmanager
async def scaled_out(home: Path, nginx: str, url: str) -> AsyncIterator[System]:
    """What profile `scale` of docker-compose.yml starts, on loopback, and the sources."""
    async with bench(url, workers=0, in_memory=False, egress_allowed_hosts=("127.0.0.1",), worker_silence=5) as b:
        settings = {**as_environment(b.components[Settings]), "TRUSTED_PROXIES": "127.0.0.1", "SYNC_PAGE_SIZE": "100"}
        serve = ("serve", "--no-worker", "--port", "0")
        with ExitStack() as stack:
            sources = stack.enter_context(running_sources(SOURCES, INCIDENTS, latency=LATENCY))
            replicas = stack.enter_context(several(home, "api", *serve, settings=settings, count=2))
            workers = stack.enter_context(several(home, "worker", "worker", settings=settings, count=3))
            ports = [int(replica.wait_until_ready().rpartition(":")[2]) for replica in replicas]
            for worker in workers:
                worker.wait_to_say("worker.started")
            proxy = stack.enter_context(running_proxy(home, replicas=ports, program=nginx))
            async with _administrator(b, proxy) as client:
                yield System(b, proxy, replicas, workers, sources, client)


@asynccontextmanager
async def _administrator(b: Bench, proxy: Proxy) -> AsyncIterator[httpx.AsyncClient]:
    access = b.components[AccessService]
    await access.create_user(email="ada@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
    token = await access.issue_token("ada@example.com", timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token.text}", "X-Forwarded-For": MADE_UP}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    transport = httpx.AsyncHTTPTransport(local_address=ADDRESS, limits=limits)
    # Longer than the pings of a stream in which nothing happens.
    timeout = httpx.Timeout(40, pool=None)
    async with httpx.AsyncClient(base_url=proxy.url, headers=headers, transport=transport, timeout=timeout) as client:
        yield client


async def test_nothing_is_lost_when_a_replica_and_a_worker_are_killed(
    nginx: str, home: Path, database_url: str, record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()

    def tell(what: str, how: object) -> None:
        record_property(what, f"{how}, {time.monotonic() - began:.0f} s after the beginning")

    async with scaled_out(home, nginx, database_url) as system, _crowd() as crowd:
        integrations = [await _connect(system, source) for source in system.sources.urls]
        tell("processes and integrations", f"{len(system.replicas)} replicas, {len(system.workers)} workers")
        runs = await _bring_watchers(system, crowd, integrations)
        tell("all watchers had seen something", crowd)
        await _kill_in_the_middle(system, crowd)
        tell("a replica and a worker were killed", crowd)
        await crowd.until_over()
        tell("all watchers were through", crowd)

        assert await _every_sync_succeeded(system, runs) > 0, "the killed worker had no sync: it was killed too late"
        assert crowd.breaks > len(crowd.watchers) / 8, "the killed replica had few streams: it was killed too late"
        for source, integration in zip(system.sources.urls, integrations, strict=True):
            assert await _stored(system, integration) == await _at_the_source(source)
        logs = {run_id: await system.bench.events(UUID(run_id)) for run_id in runs}
        for watcher in crowd.watchers:
            assert watcher.seen == logs[watcher.run_id], f"{watcher} missed something"
        _who_asks_is_known_and_no_secret_written(system, crowd)
        tell("everything was compared", f"{len(runs)} datasets and the events of {len(crowd.watchers)} watchers")


@asynccontextmanager
async def _crowd() -> AsyncIterator[Crowd]:
    """Watchers, for a bounded time; afterwards nobody is left."""
    crowd = Crowd()
    try:
        async with asyncio.timeout(SECONDS):
            yield crowd
    except TimeoutError:
        pytest.fail(f"Not done after {SECONDS} seconds: {crowd}")
    finally:
        await crowd.leave()


async def _connect(system: System, source: str) -> str:
    sent = {
        "service_name": "ServiceNow",
        "auth_type": "basic_auth",
        "config": {"url": source, "username": "integration", "password": "simulator-password"},
        "is_active": True,
    }
    created = await system.post("/integrations/create", sent)
    return str(created["integration"]["id"])


async def _bring_watchers(system: System, crowd: Crowd, integrations: list[str]) -> list[str]:
    """One POST starts each sync; then come all the others. The runs' ids, once everybody has seen something.

    The sources hold their second pages back meanwhile, so no sync can end: what nginx kept back would be missed.
    """
    for integration in integrations:
        crowd.join(Watcher(system.client, integration, way="POST"))
    starters = list(crowd.watchers)
    await crowd.until_all_have_seen_something()
    for starter in starters:
        ticket = await system.post(f"/integrations/runs/{starter.run_id}/ticket")
        crowd.join(
            Watcher(system.client, starter.integration, way="ticket", run_id=starter.run_id, ticket=ticket["ticket"])
        )
        for n in range(WATCHERS_EACH - 2):
            way: Way = "POST" if n < POSTING_EACH - 1 else "GET"
            crowd.join(Watcher(system.client, starter.integration, way=way))
    await crowd.until_all_have_seen_something()
    assert not any(watcher.is_over for watcher in crowd.watchers)
    return [starter.run_id for starter in starters]


async def _kill_in_the_middle(system: System, crowd: Crowd) -> None:
    """A replica with its streams and a worker with its syncs, once the first events of incidents are through."""
    system.sources.go_on()
    # Each has seen one: a few more, and the first sync is at its incidents. Whoever counts may lag far behind.
    await crowd.until_events(len(crowd.watchers) * 6 // 5)
    system.replicas[0].tell(signal.SIGKILL)
    system.workers[0].tell(signal.SIGKILL)


async def _every_sync_succeeded(system: System, runs: list[str]) -> int:
    """One run for each integration; how many of them another worker took over."""
    found = [(await system.get(f"/integrations/runs/{run_id}"))["run"] for run_id in runs]
    ends = [(run["state"], run["verdict"]["state"], run["version"]) for run in found]
    assert ends == [("succeeded", "complete", 1)] * SOURCES
    assert len(await system.bench.rows("SELECT id FROM sync_runs")) == SOURCES
    return sum(run["attempt"] > 1 for run in found)


async def _stored(system: System, integration: str) -> dict[str, tuple[str, str]]:
    """Number and title of everything in version 1, by the source's id."""
    stored: dict[str, tuple[str, str]] = {}
    cursor = None
    while True:
        query = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
        page = await system.get(f"/knowledge/datasets/{integration}/versions/1/incidents", **query)
        stored |= {one["external_id"]: (one["number"], one["title"]) for one in page["incidents"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return stored


async def _at_the_source(url: str) -> dict[str, tuple[str, str]]:
    async with httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
        answer = await client.post(f"{url}/__simulator__/do/listing", json={})
    rows = answer.raise_for_status().json()["result"]
    return {row["sys_id"]: (row["number"], row["short_description"]) for row in rows}


def _who_asks_is_known_and_no_secret_written(system: System, crowd: Crowd) -> None:
    said = [replica.said for replica in system.replicas]
    assert all(f"address={ADDRESS}" in text for text in said)
    assert not any(MADE_UP in text for text in said)
    secrets = [watcher.ticket for watcher in crowd.watchers if watcher.ticket]
    secrets.append(system.client.headers["Authorization"].removeprefix("Bearer "))
    assert [secret for secret in secrets for text in [system.proxy.said, *said] if secret in text] == []
