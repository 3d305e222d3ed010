"""The fault matrix's ground: the whole product over a simulated ServiceNow, and what it must hold afterwards.

Waits pass at once (`FastTime`); everything else is real: sockets, PostgreSQL, a worker, the HTTP API.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from integrations_api.connectors.records import Mode
from integrations_api.db.engine import is_lost_connection
from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance, SimulatorServer, User
from integrations_api.simulator.servicenow.access import DEFAULT_PASSWORD
from integrations_api.simulator.servicenow.table import Row
from integrations_api.sync.models import SyncRun
from integrations_api.sync.slots import HostSlots
from integrations_api.wiring import registered_sources
from tests.connectors.copying import FastTime
from tests.support.applications import settings_for
from tests.support.databases import plain_url
from tests.support.served import Served, served
from tests.support.syncing import Bench, bench

Listing = dict[str, dict[str, Any]]
"""external id → what is known of an incident."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@asynccontextmanager
async def product(database_url: str, *, workers: int = 1, **settings: Any) -> AsyncIterator["Product"]:
    """The service with its workers in this process, and the API on a socket."""
    values: dict[str, Any] = {
        "egress_allowed_hosts": ("127.0.0.1",), "sync_fetch_concurrency": 3, "sync_chunk_size": 40,
        "sync_page_size": 10, "sync_delete_brake": 1.0, **settings,
    }  # fmt: skip
    time = FastTime()
    slots = HostSlots(dsn=plain_url(database_url), limit=8)
    sources = registered_sources(settings_for(database_url, **values), slots, time=time.time)
    running = bench(database_url, workers=workers, sources=sources, does_housework=True, **values)
    async with slots, running as b, served(b) as api:
        yield Product(b, api, time)


@dataclass
class Product:
    """The running service."""

    bench: Bench
    api: Served
    time: FastTime

    async def connect(self, server: SimulatorServer, **config: Any) -> "Copied":
        """An integration with this source, nothing synced yet."""
        config = {"username": "integration", "password": DEFAULT_PASSWORD, **config}
        return Copied(self, server, await self.bench.integration(url=server.url, **config))

    async def cut_connections(self) -> None:
        """Ends every connection to the database but the one that does it."""
        with suppress(DBAPIError):
            await self.bench.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


@dataclass
class Copied:
    """A source and its integration."""

    product: Product
    server: SimulatorServer
    integration: UUID

    @property
    def instance(self) -> ServiceNowInstance:
        return self.server.instance

    def advance(self, seconds: int) -> None:
        """The source's clock moves on."""
        clock = self.instance.clock
        assert isinstance(clock, ManualClock)
        clock.advance(seconds)

    async def sync(self, mode: Mode = "incremental") -> SyncRun:
        """A run from start to end, whatever its outcome."""
        return await self.finished(await self.product.bench.start(self.integration, mode=mode))

    async def finished(self, run_id: UUID) -> SyncRun:
        """The run, once it is over."""
        return await self.product.bench.finished(run_id)

    async def sync_well(self, mode: Mode = "incremental") -> SyncRun:
        """A run that must succeed."""
        run = await self.sync(mode)
        assert (run.state, run.error) == ("succeeded", None)
        return run

    async def head(self) -> int | None:
        """The version that readers see; None before the first one, and before the first run."""
        answer = await self.product.api.client.get(f"/knowledge/datasets/{self.integration}")
        found: int | None = answer.json()["dataset"]["head"] if answer.status_code == 200 else None
        return found

    async def listing(self, version: int | None = None) -> Listing:
        """A version as the API shows it, the head by default; without what moves with every run."""
        version = version or await self.head()
        if version is None:
            return {}
        found: Listing = {}
        cursor: str | None = ""
        while cursor is not None:
            path = f"/knowledge/datasets/{self.integration}/versions/{version}/incidents?limit=1000"
            answer = await self._get(f"{path}&cursor={cursor}" if cursor else path)
            for one in answer["incidents"]:
                assert one["external_id"] not in found
                found[one.pop("external_id")] = one
            cursor = answer["next_cursor"]
        return found

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self.product.api.client.get(path)
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    async def assert_dataset_equals_source(
        self, *, note_times: bool = True, matches: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Document by document: id, number, source time, title, text, notes, state, priority, who it is assigned to.

        Without `note_times` for a user whose zone has daylight saving: ServiceNow shows the times of notes in it.
        `matches` are columns and the values of which the integration's filter wants one.
        """
        expected = table_of(self.instance, matches or {})
        stored = {sys_id: as_compared(one) for sys_id, one in (await self.listing()).items()}
        for one in () if note_times else (*expected.values(), *stored.values()):
            one["notes"] = sorted(note[1:] for note in one["notes"])
        assert set(stored) == set(expected)
        different = {key: (stored[key], said) for key, said in expected.items() if stored[key] != said}
        assert not different, f"{len(different)} differ, such as {next(iter(different.items()))}"


def table_of(instance: ServiceNowInstance, matches: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Listing:
    """What the user may see of the simulator's table now, said as the product should say it."""
    with instance.lock:
        unseen = instance.hidden | instance.blank
        rows = [instance.incidents.rows[key] for key in instance.incidents.order if key not in unseen]
        wanted = [row for row in rows if all(row.get(column) in values for column, values in matches.items())]
        return {row.sys_id: said_by(row) for row in wanted}


def said_by(row: Row) -> dict[str, Any]:
    notes = [(_utc(entry.at), entry.author, _paragraphs(entry.text)) for entry in row.journal]
    return {
        "number": _line(row.number),
        "title": _line(row.get("short_description")),
        "text": _body(row),
        "notes": sorted(notes),
        "state": row.get("state"),
        "priority": row.get("priority"),
        "assigned_to": row.get("assigned_to"),
        "source_updated_at": row.get("sys_updated_on").replace(" ", "T") + "Z",
    }


def as_compared(incident: Mapping[str, Any]) -> dict[str, Any]:
    attributes = incident["attributes"]
    return {
        "number": incident["number"],
        "title": incident["title"],
        "text": incident["text"],
        "notes": sorted((note["at"], note["author"], note["text"]) for note in incident["notes"]),
        "state": attributes.get("state_code", ""),
        "priority": attributes.get("priority_code", ""),
        "assigned_to": attributes.get("assigned_to_id", ""),
        "source_updated_at": incident["source_updated_at"],
    }


def _body(row: Row) -> str:
    parts = [("", "description"), ("Cause: ", "cause"), ("Resolution: ", "close_notes")]
    texts = [(heading, _paragraphs(row.get(column))) for heading, column in parts]
    return "\n\n".join(heading + text for heading, text in texts if text)


def _readable(text: str) -> str:
    """Without what no database text can hold."""
    return _UNSTORABLE.sub("\ufffd", text)


def _line(text: str) -> str:
    return _UNPRINTABLE.sub(" ", _readable(text)).strip()


def _paragraphs(text: str) -> str:
    return _readable(text).replace("\r\n", "\n").replace("\r", "\n").strip()


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def unminded_connections() -> Iterator[None]:
    """What PgQueuer's own tasks say of connections that were cut goes to nobody; anyio would fail the test for it."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def pass_on(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if before is not None and not (error is not None and is_lost_connection(error)):
            before(loop, context)

    loop.set_exception_handler(pass_on)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


@contextmanager
def source(count: int = 90, *, at: str = "2026-03-02 09:00:00", **user: Any) -> Iterator[SimulatorServer]:
    """A ServiceNow whose clock stands still, for a user who may read all that a sync needs."""
    integration = User(**{"time_zone": "UTC", **user})
    integration.roles |= {"delete_log_reader", "archive_reader", "journal_reader"}
    instance = ServiceNowInstance.with_incidents(
        count, seed=7, until=f"{at[:17]}00", clock=ManualClock(at), users=[integration]
    )
    with SimulatorServer(instance) as server:
        yield server
