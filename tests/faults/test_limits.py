"""What is full: the disk, the server's connections, this process's pool. A clear answer, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from threading import Event
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from integrations_api.metrics import SYNC_WAITS
from integrations_api.simulator.servicenow import AfterPage, SimulatorServer
from tests.support.applications import live_app
from tests.support.databases import plain_url
from tests.support.matrix import Product, product, unminded_connections
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

BODY = {
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {"url": "https://dev1.service-now.com", "username": "ada", "password": "secret"},
    "is_active": True,
}

# The server's own error, as it comes from a disk without space; `test_full_disk.py` has such a disk.
FULL_DISK = """
    CREATE FUNCTION refuse_when_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
    END $$;
    CREATE TRIGGER no_space BEFORE INSERT ON raw_records EXECUTE FUNCTION refuse_when_full();
    CREATE TRIGGER no_space BEFORE INSERT ON integrations EXECUTE FUNCTION refuse_when_full();
"""
SPACE_AGAIN = "DROP TRIGGER no_space ON raw_records; DROP TRIGGER no_space ON integrations"


@asynccontextmanager
async def sync_in_trouble(
    service: Product, server: SimulatorServer, trouble: Callable[[], Awaitable[None]]
) -> AsyncIterator["asyncio.Task[None]"]:
    """A sync that is in the middle of its pages when trouble begins, and waits for the database; then its end."""
    reached, go_on = Event(), Event()

    def wait_at_the_third_page(page: int) -> None:
        if page == 3:
            reached.set()
            go_on.wait(PATIENCE)

    copied = await service.connect(server)
    server.add_fault(AfterPage(wait_at_the_third_page))
    run_id = await service.bench.start(copied.integration)
    assert await asyncio.to_thread(reached.wait, PATIENCE)
    before = waits()
    await trouble()
    go_on.set()

    async def end_well() -> None:
        run = await copied.finished(run_id)
        assert (run.state, run.error, run.attempt, run.added) == ("succeeded", None, 1, 90)
        await copied.assert_dataset_equals_source()

    async with asyncio.timeout(PATIENCE):
        while waits() == before:  # noqa: ASYNC110 - only the metric tells
            await asyncio.sleep(0.02)
    yield asyncio.create_task(end_well())


def waits() -> float:
    return float(SYNC_WAITS.labels("database")._value.get())


async def test_a_full_disk_is_waited_for_by_syncs_and_told_to_whoever_writes_while_reading_goes_on(
    database_url: str, server: SimulatorServer
) -> None:
    async with superuser(database_url) as operator, product(database_url) as service:

        async def fill() -> None:
            await operator.execute(FULL_DISK)

        async with sync_in_trouble(service, server, fill) as ending:
            refused = await service.api.client.post("/integrations/create", json=BODY)
            read = await service.api.client.get("/integrations/all")
            await operator.execute(SPACE_AGAIN)
            await ending

        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.json()["message"].startswith("The database has no space left, so nothing was changed")
        assert read.status_code == 200
        assert (await service.api.client.post("/integrations/create", json=BODY)).is_success


async def altered(operator: "asyncpg.Connection[asyncpg.Record]", name: str, how: str) -> None:
    """Changes a role, and cuts the connections that it has."""
    await operator.execute(f"ALTER ROLE {name} {how}")
    await operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name)


@pytest.mark.parametrize(
    ("trouble", "mended", "words", "seen"),
    [
        (
            "CONNECTION LIMIT 0",
            "CONNECTION LIMIT -1",
            "The database takes no more connections; try again soon",
            "not reachable: it takes no more connections",
        ),
        (
            "NOLOGIN",  # As after a change of its password, or of who may come from where.
            "LOGIN",
            "The database does not let this service in: `integrations-api doctor` says why",
            "not reachable: it does not let this service in",
        ),
    ],
    ids=["full", "shut out"],
)
async def test_a_server_that_takes_no_connection_is_waited_for_and_told(
    database_url: str, server: SimulatorServer, trouble: str, mended: str, words: str, seen: str
) -> None:
    async with superuser(database_url) as operator, role(operator, database_url) as (name, url):

        async def shut() -> None:
            await altered(operator, name, trouble)

        with unminded_connections():
            async with product(url) as service:
                async with sync_in_trouble(service, server, shut) as ending:
                    refused = await service.api.client.get("/integrations/all")
                    ready = await service.api.client.get("/readyz")
                    await operator.execute(f"ALTER ROLE {name} {mended}")
                    await ending

                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
                assert refused.json()["message"] == words
                assert ready.status_code == 503
                assert ready.json()["checks"][0]["message"] == seen
                assert (await service.api.client.get("/integrations/all")).status_code == 200


async def test_a_standby_is_not_written_to_and_left_for_whoever_is_the_primary_now(
    database_url: str, server: SimulatorServer
) -> None:
    async with superuser(database_url) as operator, role(operator, database_url) as (name, url):

        async def lead_to_a_standby() -> None:
            await altered(operator, name, "SET default_transaction_read_only = on")

        with unminded_connections():
            async with product(url) as service:
                async with sync_in_trouble(service, server, lead_to_a_standby) as ending:
                    refused = await service.api.client.post("/integrations/create", json=BODY)
                    read = await service.api.client.get("/integrations/all")
                    # Only connections that are made from now on may write, as when an address leads elsewhere.
                    await operator.execute(f"ALTER ROLE {name} RESET default_transaction_read_only")
                    await ending

                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
                assert refused.json()["message"].startswith("The database can only be read at the moment")
                assert read.status_code == 200
                assert (await service.api.client.post("/integrations/create", json=BODY)).is_success


async def test_more_requests_than_connections_wait_for_one_and_are_told_when_there_is_none(database_url: str) -> None:
    async with live_app(database_url, database_pool_size=2) as live:
        headers, engine = await live.credentials(), live.components[AsyncEngine]
        assert isinstance(engine.pool, QueuePool)

        answers = await asyncio.gather(*(live.client.get("/integrations/all", headers=headers) for _ in range(20)))
        async with AsyncExitStack() as held:
            for _ in range(2):
                await held.enter_async_context(engine.connect())
            engine.pool._timeout = 0.05
            refused = await live.client.get("/integrations/all", headers=headers)
            ready = await live.client.get("/readyz")

        assert {answer.status_code for answer in answers} == {200}
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.json()["message"] == "All database connections of this process are busy; try again soon"
        assert ready.json()["checks"][0]["message"] == "not reachable: all connections of this process are busy"
        assert (await live.client.get("/integrations/all", headers=headers)).status_code == 200


@asynccontextmanager
async def superuser(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(plain_url(url))
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def role(operator: "asyncpg.Connection[asyncpg.Record]", database_url: str) -> AsyncIterator[tuple[str, str]]:
    """An ordinary user of the database, whose connections can be limited; superusers' cannot."""
    name = f"limited_{uuid4().hex[:12]}"
    await operator.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    try:
        for kind in ("TABLES", "SEQUENCES"):
            await operator.execute(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {name}")
        url = make_url(database_url).set(username=name, password=name)
        yield name, url.render_as_string(hide_password=False)
    finally:
        await operator.execute(f"DROP OWNED BY {name}")
        await operator.execute(f"DROP ROLE {name}")
