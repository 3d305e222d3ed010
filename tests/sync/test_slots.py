"""The limit on requests to one host, over processes."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from integrations_api.connectors.errors import Retryable
from integrations_api.db.engine import asyncpg_dsn
from integrations_api.sync import slots as module
from integrations_api.sync.slots import HostSlots
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio


async def test_no_more_requests_at_once_than_allowed_over_all_processes(database_url: str) -> None:
    dsn = asyncpg_dsn(database_url)
    now, most = 0, 0

    async def request(slots: HostSlots) -> None:
        nonlocal now, most
        async with slots.of("dev1.service-now.com")():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)  # Long enough for others to be given one too many.
            now -= 1

    async with HostSlots(dsn=dsn, limit=3) as one, HostSlots(dsn=dsn, limit=3) as other:
        await asyncio.gather(*(request(slots) for slots in (one, other) for _ in range(20)))

    assert 1 <= most <= 3


async def test_another_host_is_not_held_up(database_url: str) -> None:
    one = HostSlots(dsn=asyncpg_dsn(database_url), limit=1)
    async with one as slots, slots.of("a")(), asyncio.timeout(PATIENCE), slots.of("b")():
        pass


async def test_a_host_is_the_same_however_it_is_spelt_and_who_waits_too_long_for_it_may_try_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.3)
    async with HostSlots(dsn=asyncpg_dsn(database_url), limit=1) as slots, slots.of("Dev1.Service-Now.com")():
        with pytest.raises(Retryable, match="Too many requests to this host"):
            async with slots.of("dev1.service-now.com")():
                pass


async def test_while_the_database_is_away_every_request_may_go() -> None:
    nowhere = HostSlots(dsn="postgresql://nobody@127.0.0.1:1/nothing", limit=1)
    async with nowhere as slots, asyncio.timeout(PATIENCE), slots.of("a")():
        pass


async def test_a_process_that_dies_frees_its_slots(database_url: str) -> None:
    dsn = asyncpg_dsn(database_url)
    async with HostSlots(dsn=dsn, limit=1) as living:
        async with HostSlots(dsn=dsn, limit=1) as dying:
            holding = dying.of("a")()
            await holding.__aenter__()

        async with asyncio.timeout(PATIENCE), living.of("a")():
            pass


async def test_who_is_cancelled_while_he_asks_leaves_no_slot_taken(database_url: str) -> None:
    async with HostSlots(dsn=asyncpg_dsn(database_url), limit=1) as slots:
        for turns in range(1, 60):
            asking = asyncio.create_task(slots.of("a")().__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            if not asking.cancel():
                break  # He had the slot already.
            await asyncio.gather(asking, return_exceptions=True)

            async with asyncio.timeout(PATIENCE), slots.of("a")():
                pass


async def test_who_is_cancelled_while_he_gives_a_slot_back_gives_it_back(database_url: str) -> None:
    async with HostSlots(dsn=asyncpg_dsn(database_url), limit=1) as slots:
        for turns in range(1, 6):
            holding = slots.of("a")()
            async with asyncio.timeout(PATIENCE):
                await holding.__aenter__()
            giving = asyncio.create_task(holding.__aexit__(None, None, None))
            for _ in range(turns):
                await asyncio.sleep(0)
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)


MOMENT = timedelta(milliseconds=100)


async def test_a_process_that_is_stopped_while_it_holds_slots_loses_them(database_url: str) -> None:
    """It closes no connection, nor does a machine that lost power; and a run that goes on elsewhere has to ask."""
    dsn = asyncpg_dsn(database_url)
    async with HostSlots(dsn=dsn, limit=1, silence=MOMENT) as stopped, HostSlots(dsn=dsn, limit=1) as living:
        async with stopped.of("a")(), asyncio.timeout(PATIENCE), living.of("a")():
            pass

        async with asyncio.timeout(PATIENCE), stopped.of("a")():  # It goes on, by a new connection.
            pass


async def test_a_process_is_cut_off_when_it_is_silent_as_long_as_it_holds_any_slot(database_url: str) -> None:
    async with HostSlots(dsn=asyncpg_dsn(database_url), limit=2, silence=timedelta(hours=1)) as slots:

        async def cut_off_after() -> str:
            assert slots._connection is not None
            return str(await slots._connection.fetchval("SHOW idle_session_timeout"))

        async with slots.of("a")():
            async with slots.of("b")():
                pass
            while_it_holds_one = await cut_off_after()

        assert (while_it_holds_one, await cut_off_after()) == ("1h", "0")


async def test_who_waits_asks_for_all_slots_of_a_host_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dozens wait where many integrations read one host, and each would ask for one slot after the other."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", (0.1, 0.1))
    dsn = asyncpg_dsn(database_url)
    async with HostSlots(dsn=dsn, limit=8) as other, HostSlots(dsn=dsn, limit=8) as waiting, AsyncExitStack() as held:
        for _ in range(8):
            await held.enter_async_context(other.of("a")())
        async with waiting.of("b")():  # It is connected.
            pass
        connection = waiting._connection
        assert connection is not None
        asked: list[str] = []
        connection.add_query_logger(lambda query: asked.append(query.query))

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), waiting.of("a")():
                pass
        await held.aclose()
        async with asyncio.timeout(PATIENCE), waiting.of("a")():
            pass

    assert 2 <= len(asked) <= 15
