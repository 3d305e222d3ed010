"""What many of something cost: 10,000 integrations, 10,000 versions of a dataset, more requests than connections.

Requests go to the application in this process, without a socket, and are timed there: the median of `--repeats`, with
the size of the answer. The database is a bundled one of the benchmark's own, gone at the end.
"""

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx

from integrations_api.db.migrations import upgrade
from integrations_api.knowledge import terms
from integrations_api.logs import configure_logging
from integrations_api.worker_wiring import build_worker
from tests.support.applications import LiveApp, live_app
from tests.support.databases import databases, throwaway_server
from tests.support.syncing import Bench, bench

DOCUMENTS = 1000
REQUESTS = 400

_INTEGRATIONS = """
    INSERT INTO integrations
        (id, service_name, auth_type, config, is_active, schedule_cron, schedule_zone, next_sync_at)
    SELECT md5('i' || n)::uuid, 'ServiceNow', 'basic_auth',
           json_build_object('url', 'https://dev' || n || '.service-now.com', 'username', 'ada'), true,
           '0 * * * *', 'UTC', now() - interval '1 minute'
    FROM generate_series(1, :many) n;
    INSERT INTO datasets (id, integration_id, service_name, head, last_version)
    SELECT id, id, service_name, NULL, 0 FROM integrations;
    ANALYZE
"""
# Version 1 has all documents, each later one changes one of them, in turn: a document has a revision every 1,000.
_VECTOR = terms.document_vector_sql(title="'Outage'", text="'The mail server word' || n || ' is down'", spoken="''")
_VERSIONS = f"""
    INSERT INTO datasets (id, service_name, head, last_version, documents)
    VALUES (:dataset, 'ServiceNow', :many, :many, {DOCUMENTS});
    INSERT INTO versions (dataset_id, number, state, kind, parent, published_at, documents, words)
    SELECT :dataset, n, 'published', 'sync', nullif(n - 1, 0), now(), {DOCUMENTS}, {DOCUMENTS * 5}
    FROM generate_series(1, :many) n;
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, tsv, words)
    SELECT :dataset, decode(md5(n::text), 'hex'), 'Outage', 'The mail server word' || n || ' is down', '[]', '{{}}',
           {_VECTOR}, 5
    FROM generate_series(1, {DOCUMENTS - 1} + :many) n ORDER BY n;
    INSERT INTO documents (id, dataset_id, external_id)
    SELECT md5(n::text)::uuid, :dataset, md5(n::text) FROM generate_series(1, {DOCUMENTS}) n;
    INSERT INTO revisions (document_id, valid_from, valid_to, dataset_id, content_id, number, change)
    SELECT md5((1 + (n - 1) % {DOCUMENTS})::text)::uuid, greatest(1, n - {DOCUMENTS} + 1),
           CASE WHEN n + 1 <= :many THEN n + 1 ELSE 2147483647 END, :dataset, (SELECT min(id) FROM contents) + n - 1,
           'INC' || lpad((1 + (n - 1) % {DOCUMENTS})::text, 7, '0'), 'added'
    FROM generate_series(1, {DOCUMENTS - 1} + :many) n;
    INSERT INTO term_counts (dataset_id, term, version, documents)
    SELECT :dataset, word, 1, {DOCUMENTS} FROM unnest(ARRAY['outag', 'mail', 'server']) word;
    INSERT INTO term_counts (dataset_id, term, version, documents)
    SELECT CAST(:dataset AS uuid), 'word' || n, greatest(1, n - {DOCUMENTS} + 1), 1
    FROM generate_series(1, {DOCUMENTS - 1} + :many) n
    UNION ALL
    SELECT CAST(:dataset AS uuid), 'word' || n, n + 1, 0 FROM generate_series(1, :many - 1) n;
    ANALYZE
"""


def main(arguments: list[str]) -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(prog="python -m bench limits", description=__doc__)
    parser.add_argument("--many", type=int, default=10_000, help="integrations, and versions")
    parser.add_argument("--repeats", type=int, default=20)
    chosen = parser.parse_args(arguments)
    configure_logging(log_format="text", level="ERROR")
    print("| what | ms | KiB |\n|---|---|---|")
    with throwaway_server() as server, databases(server) as made:
        for measure in (_busy, _versions, _integrations):
            url = made.create()
            upgrade(url)
            asyncio.run(measure(url, chosen.many, chosen.repeats))


async def _fill(b: Bench, script: str, **values: Any) -> None:
    """Statement by statement, for the driver takes values for one at a time."""
    for statement in script.split(";"):
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        await b.change(statement, **used)


async def _integrations(url: str, many: int, repeats: int) -> None:
    async with bench(url, workers=0) as b:
        await _fill(b, _INTEGRATIONS, many=many)
        duties = b.duties()
        await _show(f"schedules: {many} due at once are queued", _once(duties.start_due))
        await _show("schedules: none is due", _timed(duties.start_due, repeats))
        worker = {name: duty for name, _, duty in build_worker(b.components).duties}
        await _show(f"a worker's sweep over {many} queued runs", _timed(worker["sweep"], repeats))
    async with live_app(url, metrics_token="m" * 40) as live:
        headers = await live.credentials()
        cursor = await _a_cursor_in_the_middle(live, headers, many)
        for what, path in (
            ("a page of 50", "/integrations/all?limit=50"),
            ("a page of 50 in the middle", f"/integrations/all?limit=50&cursor={cursor}"),
            ("all in one answer", "/integrations/all"),
            ("all datasets", "/knowledge/datasets"),
        ):
            await _ask(f"{many} integrations: {what}", live.client, path, headers, repeats)
        metrics = {"Authorization": f"Bearer {'m' * 40}"}
        await _ask(f"{many} integrations: /metrics", live.client, "/metrics", metrics, repeats)


async def _a_cursor_in_the_middle(live: LiveApp, headers: dict[str, str], many: int) -> str:
    answer = await live.client.get(f"/integrations/all?limit={min(1000, many // 2)}", headers=headers)
    return str(answer.json()["next_cursor"])


async def _versions(url: str, many: int, repeats: int) -> None:
    dataset = uuid4()
    async with bench(url, workers=0) as b:
        await _fill(b, _VERSIONS, many=many, dataset=dataset)
    base = f"/knowledge/datasets/{dataset}"
    async with live_app(url, access_rate_factor=0) as live:
        headers = await live.credentials()
        first = (await live.client.get(f"{base}/versions?limit=1000", headers=headers)).json()
        search = f"/knowledge/search?integration={dataset}&q=mail%20server%20word{many}"
        for what, path in (
            ("the newest 50", f"{base}/versions?limit=50"),
            ("50 behind the newest 1,000", f"{base}/versions?limit=50&cursor={first['next_cursor']}"),
            ("diff of neighbours", f"{base}/versions/{many // 2 + 1}/diff?base={many // 2}"),
            ("diff of the first and the last", f"{base}/versions/{many}/diff?base=1"),
            ("a page of the first", f"{base}/versions/1/incidents?limit=50"),
            ("a page of the last", f"{base}/versions/{many}/incidents?limit=50"),
            ("search in the last", search),
            ("search in the middle", f"{search}&version={many // 2}"),
            ("search in the first", f"{search}&version=1"),
        ):
            await _ask(f"{many} versions: {what}", live.client, path, headers, repeats)


async def _busy(url: str, _: int, __: int) -> None:
    """Many requests at once over few connections: who waits, who is refused."""
    async with live_app(url, database_pool_size=5) as live:
        headers = await live.credentials()
        begun = time.perf_counter()
        asked = (live.client.get("/integrations/all?limit=50", headers=headers) for _ in range(REQUESTS))
        statuses = Counter(answer.status_code for answer in await asyncio.gather(*asked))
        told = ", ".join(f"{count} × {status}" for status, count in statuses.items())
        took = (time.perf_counter() - begun) * 1000
        print(f"| {REQUESTS} requests at once over 5 connections: {told} | {took:.0f} | |")


async def _ask(what: str, client: httpx.AsyncClient, path: str, headers: dict[str, str], repeats: int) -> None:
    size = 0

    async def once() -> None:
        nonlocal size
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 200, f"{path}: {answer.text[:300]}"
        size = len(answer.content)

    await once()
    milliseconds = await _timed(once, repeats)
    print(f"| {what} | {milliseconds:.1f} | {size / 1024:.1f} |", flush=True)


async def _show(what: str, measured: Awaitable[float]) -> None:
    print(f"| {what} | {await measured:.1f} | |", flush=True)


async def _once(work: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


async def _timed(work: Callable[[], Awaitable[Any]], repeats: int) -> float:
    return statistics.median([await _once(work) for _ in range(repeats)])
