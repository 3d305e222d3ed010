"""This product, all it does: versions, search text, events. One worker in this process, a database of its own."""

import asyncio
import json
import sys
import time
from uuid import UUID

from integrations_api.db.migrations import upgrade
from integrations_api.logs import configure_logging
from integrations_api.sync.models import SyncRun
from integrations_api.sync.runs import RunState
from tests.support.databases import databases
from tests.support.syncing import Bench, bench


async def main(source: str, database: str) -> None:
    """A first sync, then one without changes to warm up, then one of 500 changes."""
    host = source.partition("//")[2]
    async with bench(database, in_memory=False, egress_allowed_hosts=(host,), patience=3600) as b:
        integration = await b.integration(url=source, username="integration", password="simulator-password")
        begun = time.monotonic()
        run = await _finished(b, await b.start(integration))
        wall = time.monotonic() - begun
        assert run.state == "succeeded", run.error
        assert run.verdict is not None
        assert run.verdict["state"] == "complete", run.verdict
    print(json.dumps({"wall": wall}))


async def _finished(b: Bench, run_id: UUID) -> SyncRun:
    """The run, once it is over; asked for seldom, for asking is no part of a sync."""
    while not RunState((run := await b.run(run_id)).state).is_final:  # noqa: ASYNC110 - the worker ends it
        await asyncio.sleep(0.1)
    return run


if __name__ == "__main__":
    configure_logging(log_format="text", level="WARNING")
    with databases(sys.argv[2]) as made:
        url = made.create()
        upgrade(url)
        asyncio.run(main(sys.argv[1], url))
        made.drop(url)
