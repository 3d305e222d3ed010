"""A long life in short: everything at once for some minutes, and what that leaves behind.

Real processes over one PostgreSQL: two APIs, two workers, simulated sources. The second API and the second worker are
killed again and again; the first ones live on, so that their memory can be compared. Sources change, syncs run (some
full, some under faults, some cancelled), watchers come and go, readers search and compare. In the end every dataset
has to equal its source, and what was measured has to be flat: no line may be higher in the last third of the time than
in the middle third, beyond a stated tolerance (bench/soak/samples.py). The first third is warm-up.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, nullcontext
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import httpx
from sqlalchemy.ext.asyncio import async_sessionmaker

from bench.soak.life import Life, Watching, change, kill, read, sync, watch
from bench.soak.processes import Process, simulator
from bench.soak.report import print_report
from bench.soak.samples import Samples, of_database, of_process
from bench.soak.sources import Source
from integrations_api.access.passwords import Passwords
from integrations_api.access.permissions import ROLES, Role
from integrations_api.access.service import AccessService
from integrations_api.clock import utc_now
from integrations_api.db.migrations import upgrade
from integrations_api.knowledge.retention import EVERY, Retention
from integrations_api.logs import configure_logging
from integrations_api.queue.tidying import KEPT, QueueTidying
from integrations_api.settings import Settings
from integrations_api.sync.duties import SyncDuties
from integrations_api.sync.service import SyncService
from integrations_api.wiring import assemble, what_is_kept
from tests.support.applications import PASSWORD, settings_for
from tests.support.databases import databases, plain_url, throwaway_server
from tests.support.matrix import Listing, as_compared
from tests.support.processes import as_environment, workplace

WATCHERS, READERS = 20, 3
TIDYING_EVERY, TRIES = 10.0, 10
"""Seconds. Workers tidy up by the hour and the day: here it is done between, with clocks that are ahead."""
SETTINGS: dict[str, Any] = {
    "egress_allowed_hosts": ("127.0.0.1",),
    "knowledge_keep_versions": 5,
    "sync_keep_events": timedelta(minutes=1),
    "sync_overlap": timedelta(seconds=30),
    "sync_page_size": 50,
    "sync_chunk_size": 50,
    "sync_delete_brake": 1.0,
    "worker_silence": timedelta(seconds=5),
    "access_rate_factor": 0,
    "raw_dump_path": "",
}
LINES = (
    "KNOWLEDGE_KEEP_VERSIONS=5, SYNC_KEEP_EVENTS=60s, SYNC_OVERLAP=30s, pages and chunks of 50; every 20 s versions "
    "are pruned, and events and the queue's log older than a minute forgotten; the bundled server vacuums every 5 s"
)


def main(arguments: list[str]) -> None:
    """Prints the table; exits with 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=3, help="seconds between samples")
    parser.add_argument("--integrations", type=int, default=3)
    parser.add_argument("--incidents", type=int, default=300, help="of each source")
    parser.add_argument("--database", help="URL of a server where a database may be made; else the bundled one")
    chosen = parser.parse_args(arguments)
    configure_logging(log_format="text", level="ERROR")
    with nullcontext(chosen.database) if chosen.database else throwaway_server() as server, databases(server) as made:
        url = made.create()
        if chosen.database is None:
            asyncio.run(_vacuum_often(server))
        try:
            upgrade(url)
            is_well = asyncio.run(_soak(url, chosen))
        finally:
            made.drop(url)
    if not is_well:
        sys.exit(1)


async def _vacuum_often(server: str) -> None:
    """Some minutes are to show what days would: the bundled server looks every 5 seconds instead of every minute."""
    connection = await asyncpg.connect(plain_url(server))
    try:
        await connection.execute("ALTER SYSTEM SET autovacuum_naptime = '5s'")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


async def _soak(url: str, chosen: argparse.Namespace) -> bool:
    print(f"{chosen.minutes:g} minutes, seed {chosen.seed}, {chosen.integrations} integrations of {chosen.incidents} "
          f"incidents, {WATCHERS} watchers, {READERS} readers; {LINES}", flush=True)  # fmt: skip
    async with _living(url, chosen) as (life, processes):
        samples = Samples()
        actors = [asyncio.create_task(actor) for actor in _actors(life, url)]
        sampling = asyncio.create_task(_sample(url, life, samples, chosen.every))
        await asyncio.sleep(chosen.minutes * 60)
        life.over.set()
        await asyncio.gather(*actors)
        await sampling
        differences = [await _difference(life, source) for source in life.sources]
        for process in processes:
            if code := await asyncio.to_thread(process.end):
                life.unexpected[f"{process.name} ended with {code}"] += 1
            for line in process.errors():
                life.unexpected[f"{process.name} logged: {line[:200]}"] += 1
    return print_report(life, samples, differences, minutes=chosen.minutes)


@asynccontextmanager
async def _living(url: str, chosen: argparse.Namespace) -> AsyncIterator[tuple[Life, list[Process]]]:
    """Everything started, and an integration for each source."""
    settings = settings_for(url, **SETTINGS)
    environment = _environment(settings)
    with workplace() as folder, ExitStack() as stack:

        def begun(process: Process) -> Process:
            stack.callback(process.close)
            process.begin()
            return process

        def api(name: str) -> Process:
            return begun(Process(name, folder, ("serve", "--no-worker", "--port", "0"), environment))

        def worker(name: str) -> Process:
            return begun(Process(name, folder, ("worker",), environment))

        seeds = range(chosen.seed, chosen.seed + chosen.integrations)
        simulators = [begun(simulator(f"source-{n}", folder, incidents=chosen.incidents, seed=n)) for n in seeds]
        workers = [worker("worker"), worker("worker-killed")]  # First: without any no API is ready.
        apis = [api("api"), api("api-killed")]
        headers = {"Authorization": f"Bearer {await _token(settings)}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False, limits=limits) as client:
            life = Life(chosen.seed, apis, workers, [], client)
            for process in simulators:
                life.sources.append(await _connected(life, process))
            yield life, [*apis, *workers]


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **as_environment(settings),
        "KNOWLEDGE_KEEP_VERSIONS": str(settings.knowledge_keep_versions),
        "SYNC_KEEP_EVENTS": f"{settings.sync_keep_events.total_seconds():.0f}s",
        "SYNC_OVERLAP": f"{settings.sync_overlap.total_seconds():.0f}s",
        "SYNC_DELETE_BRAKE": str(settings.sync_delete_brake),
        "ACCESS_RATE_FACTOR": str(settings.access_rate_factor),
    }


async def _token(settings: Settings) -> str:
    async with assemble(settings, passwords=Passwords()) as components:
        access = components[AccessService]
        await access.create_user(email="soak@example.com", password=PASSWORD, permissions=ROLES[Role.ADMIN])
        return (await access.issue_token("soak@example.com", timedelta(hours=12))).text


async def _connected(life: Life, process: Process) -> Source:
    source = Source(process.url, life.chance(process.name), httpx.AsyncClient(timeout=60, trust_env=False))
    await source.prepare()
    config = {"url": process.url, "username": "integration", "password": "simulator-password"}
    body = {"service_name": "ServiceNow", "auth_type": "basic_auth", "config": config, "is_active": True}
    answer = await life.client.post(f"{life.apis[0].url}/integrations/create", json=body)
    source.integration = answer.json()["integration"]["id"]
    await Watching(life).read(life.apis[0], "POST", f"/integrations/sync/{source.integration}")
    return source


def _actors(life: Life, url: str) -> list[Coroutine[Any, Any, None]]:
    def of_source(act: Callable[..., Any], source: Source) -> Callable[[Any], Any]:
        return lambda chance: act(life, source, chance)

    days = count(1)
    return [
        *(life.repeat(f"sync {i}", of_source(sync, source)) for i, source in enumerate(life.sources)),
        *(life.repeat(f"change {i}", of_source(change, source)) for i, source in enumerate(life.sources)),
        *(life.repeat(f"watch {i}", lambda chance: watch(life, chance)) for i in range(WATCHERS)),
        *(life.repeat(f"read {i}", lambda chance: read(life, chance)) for i in range(READERS)),
        life.repeat("kill", lambda chance: kill(life, chance)),
        life.repeat("tidy", lambda _: _tidy(life, url, days=next(days))),
    ]


async def _tidy(life: Life, url: str, *, days: int) -> None:
    """What workers do by the hour and by the day, as if so many days had passed."""
    await life.pause(TIDYING_EVERY)
    settings = settings_for(
        url,
        **SETTINGS,
    )

    def later() -> datetime:
        return utc_now() + days * (EVERY + timedelta(hours=1))

    async with assemble(settings, passwords=Passwords()) as components:
        sessions = components[async_sessionmaker]
        retention = Retention(sessions=sessions, clock=later, keep=what_is_kept(settings))
        for _ in range(TRIES):
            await retention.prune()
            await life.pause(1)  # A dataset that a run was busy with has its turn in between.
        await QueueTidying(sessions=sessions, clock=lambda: utc_now() + KEPT - timedelta(minutes=1)).forget()
        await SyncDuties(
            sessions=sessions,
            sources=components[SyncService].sources,
            clock=utc_now,
            keep_events=settings.sync_keep_events,
        ).forget_old_events()
    life.counts["tidied up"] += 1


async def _sample(url: str, life: Life, samples: Samples, every: float) -> None:
    connection = await asyncpg.connect(plain_url(url))
    try:
        while not life.over.is_set():
            for process in (life.apis[0], life.workers[0]):
                found = of_process(process.pid)
                samples.add({f"{process.name}: {name}": value for name, value in found.items()})
            found, tables = await of_database(connection)
            samples.add(found)
            samples.tables.append(tables)
            await life.pause(every)
    finally:
        await connection.close()


async def _difference(life: Life, source: Source) -> str | None:
    """After one more full sync: in what the dataset differs from its source; None in nothing."""
    api, path = life.apis[0], f"/integrations/sync/{source.integration}"
    await source.behave()
    going_on = Watching(life)
    await going_on.read(api, "GET", f"{path}/events")
    last = Watching(life)
    await last.read(api, "POST", f"{path}?mode=full")
    stored, held = (_without_times_of_notes(one) for one in (await _stored(life, source), await source.listing()))
    differing = [key for key in held.keys() | stored.keys() if held.get(key) != stored.get(key)]
    if last.verdict == "complete" and not differing:  # While the source changed, it could be short or over.
        return None
    example = next(((held.get(key), stored.get(key)) for key in differing), None)
    return f"{source.integration}: its last verdict is {last.verdict}; {len(differing)} documents differ: {example}"


def _without_times_of_notes(listing: Listing) -> Listing:
    """ServiceNow shows them in the user's zone, where an hour comes twice in autumn and one is missing in spring."""
    return {key: {**one, "notes": sorted(note[1:] for note in one["notes"])} for key, one in listing.items()}


async def _stored(life: Life, source: Source) -> Listing:
    api, dataset = life.apis[0], f"/knowledge/datasets/{source.integration}"
    head = (await life.ask(api, "GET", dataset))["dataset"]["head"]
    found: Listing = {}
    cursor: str | None = ""
    while cursor is not None:
        page = await life.ask(
            api, "GET", f"{dataset}/versions/{head}/incidents?limit=1000" + (f"&cursor={cursor}" if cursor else "")
        )
        found |= {one["external_id"]: as_compared(one) for one in page["incidents"]}
        cursor = page["next_cursor"]
    return found
