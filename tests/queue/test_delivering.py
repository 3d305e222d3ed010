"""Jobs reach their handlers also after a network that forgot the connection, and told nobody; and a worker's end waits
for no server."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from integrations_api.db.dialling import connect
from integrations_api.db.engine import asyncpg_dsn, create_engine, create_sessions
from integrations_api.queue import delivering
from integrations_api.queue.delivering import Deliveries
from integrations_api.queue.jobs import enqueue
from tests.support.processes import PATIENCE
from tests.support.silence import forgetful_network

pytestmark = pytest.mark.anyio


async def test_a_worker_whose_connection_was_forgotten_on_the_way_gets_the_next_job(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "ANSWER", timedelta(seconds=0.5))
    monkeypatch.setattr(delivering, "POLL", timedelta(seconds=0.1))
    engine = create_engine(database_url, pool_size=1)
    goes_on, done = asyncio.Event(), asyncio.Queue[str]()

    async def handle(key: str) -> None:
        done.put_nowait(key)
        if key == "long":
            await goes_on.wait()

    async def add(key: str) -> None:
        async with create_sessions(engine).begin() as session:
            await enqueue(session, entrypoint="work", keys=[key])

    async with forgetful_network(database_url) as network, asyncio.timeout(PATIENCE):
        stopping = asyncio.Event()
        deliveries = Deliveries(
            dsn=network.url,
            handlers={"work": handle},
            concurrency=1,
            silence=timedelta(seconds=10),
            on_stop=goes_on.set,
        )
        delivered = asyncio.create_task(deliveries.go_on(stopping))
        await add("long")
        await add("long")  # It is there already.
        assert await done.get() == "long"

        network.forget()
        await add("next")
        assert await done.get() == "next"

        stopping.set()
        await delivered
    await engine.dispose()


async def test_a_worker_that_may_work_on_one_job_at_a_time_does(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "POLL", timedelta(seconds=0.1))
    engine = create_engine(database_url, pool_size=1)
    stopping = asyncio.Event()
    done: list[str] = []
    at_once = most_at_once = 0

    async def handle(key: str) -> None:
        nonlocal at_once, most_at_once
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await asyncio.sleep(0.3)
        at_once -= 1
        done.append(key)
        if len(done) == 3:
            stopping.set()

    async with create_sessions(engine).begin() as session:
        await enqueue(session, entrypoint="work", keys=["1", "2", "3"])
    deliveries = Deliveries(
        dsn=asyncpg_dsn(database_url),
        handlers={"work": handle},
        concurrency=1,
        silence=timedelta(seconds=10),
        on_stop=lambda: None,
    )

    async with asyncio.timeout(PATIENCE):
        await deliveries.go_on(stopping)

    assert (sorted(done), most_at_once) == (["1", "2", "3"], 1)
    await engine.dispose()


async def test_a_worker_that_is_to_end_does_not_wait_for_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivering, "connect", partial(connect, timeout=PATIENCE * 2))
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server, asyncio.timeout(PATIENCE):
        stopping, told = asyncio.Event(), asyncio.Event()
        deliveries = Deliveries(
            dsn=f"postgresql://nobody@127.0.0.1:{server.sockets[0].getsockname()[1]}/nothing",
            handlers={},
            concurrency=1,
            silence=timedelta(seconds=10),
            on_stop=told.set,
        )
        delivered = asyncio.create_task(deliveries.go_on(stopping))
        await asked.wait()

        stopping.set()

        await delivered
        assert told.is_set()
