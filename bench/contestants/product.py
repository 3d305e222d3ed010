"""This product, all it does: versions, search text, events. One worker in this process, a database of its own."""

import asyncio
import json
import sys
import time
from uuid import UUID

import httpx

from integrations_api.cli import loops
from integrations_api.db.migrations import upgrade
from integrations_api.logs import configure_logging
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import is_final
from tests.support.databases import databases
from tests.support.syncing import Bench, bench


async def main(source: str, database: str) -> None:
    """A first sync, then an incremental one of 500 changes made at the source."""
    host = source.partition("//")[2]
    async with bench(database, in_memory=False, egress_allowed_hosts=(host,), patience=3600) as b:
        integration = await b.integration(url=source, username="integration", password="simulator-password")
        wall = await _timed(b, integration, look_every=0.5)
        await _change(source, 500)
        incremental = await _timed(b, integration, look_every=0.05)
    print(json.dumps({"wall": wall, "incremental": incremental}))


async def _change(source: str, steps: int) -> None:
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        (await client.post(f"{source}/__simulator__/evolve", json={"steps": steps})).raise_for_status()


async def _timed(b: Bench, integration: UUID, *, look_every: float) -> float:
    """Seconds of a sync. Its end is seen so many seconds late at most: to look for it takes time from it.

    Its reader may not see the delete log, so only a full one can know what is gone.
    """
    begun = time.monotonic()
    run = await _finished(b, await b.start(integration), look_every)
    took = time.monotonic() - begun
    assert run.state == "succeeded", run.error
    assert run.verdict is not None
    assert run.verdict["state"] == ("complete" if run.mode == "full" else "over"), run.verdict
    return took


async def _finished(b: Bench, run_id: UUID, look_every: float) -> SyncRun:
    """The run, once it is over."""
    while not is_final((run := await b.run(run_id)).state):  # noqa: ASYNC110 - the worker ends it
        await asyncio.sleep(look_every)
    return run


if __name__ == "__main__":
    configure_logging(log_format="text", level="WARNING")
    with databases(sys.argv[2]) as made:
        url = made.create()
        upgrade(url)
        loops.run(main(sys.argv[1], url))
        made.drop(url)
