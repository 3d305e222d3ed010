"""Neither a worker's end nor its signs of life are kept waiting by the database."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text

from integrations_api.api import health
from integrations_api.db.engine import create_engine, create_sessions
from integrations_api.queue import worker
from tests.support.databases import plain_url
from tests.support.processes import PATIENCE
from tests.support.silence import forgetful_network
from tests.support.syncing import bench

pytestmark = pytest.mark.anyio


async def test_a_worker_that_cannot_say_goodbye_leaves_without(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEAVING", timedelta(seconds=0.5))
    async with bench(database_url, workers=1) as b:
        ((running, stopping),) = b.workers
        await b.sync(await b.integration())
        other = await asyncpg.connect(plain_url(database_url))
        async with other.transaction():
            await other.execute("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")

            stopping.set()

            await asyncio.wait_for(running, PATIENCE)
        await other.close()


async def test_duties_go_on_over_other_connections_when_a_server_stands_still_and_closes_none(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BRIEF", timedelta(seconds=0.5))
    looked = asyncio.Event()
    async with forgetful_network(database_url) as network, bench(database_url, workers=0) as b:
        engine = create_engine(network.url, pool_size=2)
        sessions = create_sessions(engine)

        async def look() -> None:
            async with sessions() as session:
                await session.execute(text("SELECT 1"))
            looked.set()

        async def signs_of_life() -> object:
            return await b.rows("SELECT seen_at FROM workers")

        one = worker.QueueWorker(
            dsn="", sessions=sessions, concurrency=1, silence=timedelta(seconds=0.25), busy_with=list,
            on_stop=lambda: None, on_leave=noop, duties=[("look", timedelta(seconds=0.05), worker.brief(look))],
        )  # fmt: skip
        stopping = asyncio.Event()
        at_work = [asyncio.create_task(one._repeat(*each, stopping)) for each in one._all()]
        async with asyncio.timeout(PATIENCE):
            await looked.wait()
            network.forget()
            last = await signs_of_life()
            for _ in range(2):  # One may have been on its way.
                looked.clear()
                await looked.wait()
            while await signs_of_life() == last:  # noqa: ASYNC110 - only the database tells
                await asyncio.sleep(0.05)
            stopping.set()
            await asyncio.gather(*at_work)
        await engine.dispose()


@pytest.mark.parametrize(
    ("silence", "every"),
    [(timedelta(seconds=10), timedelta(seconds=2)), (timedelta(minutes=10), timedelta(seconds=10))],
    ids=["as it comes", "much patience"],
)
def test_a_worker_is_seen_as_often_as_readiness_looks_for_it_however_patient_others_are(
    silence: timedelta, every: timedelta
) -> None:
    one = worker.QueueWorker(
        dsn="", sessions=create_sessions(create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)),
        concurrency=1, silence=silence, busy_with=list, on_stop=lambda: None, on_leave=noop,
    )  # fmt: skip

    (name, shown_every, _), *_ = one._all()

    assert (name, shown_every) == ("sign_of_life", every)
    assert 2 * shown_every < health.WORKER_SILENCE


async def noop() -> None:
    pass


async def test_a_duty_that_fails_for_whatever_reason_comes_round_again() -> None:
    stopping, done = asyncio.Event(), 0

    async def fail_once() -> None:
        nonlocal done
        done += 1
        if done == 1:
            raise LookupError
        stopping.set()

    one = worker.QueueWorker(
        dsn="", sessions=create_sessions(create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)),
        concurrency=1, silence=timedelta(seconds=10), busy_with=list, on_stop=lambda: None, on_leave=noop,
    )  # fmt: skip

    await asyncio.wait_for(one._repeat("look", timedelta(0), fail_once, stopping), PATIENCE)

    assert done == 2
