"""A server that stands still at the end of a transaction is given up, though nobody can call that off."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from integrations_api.db import ending
from integrations_api.db.direct import transaction
from integrations_api.db.engine import Sessions, create_engine, create_sessions, is_lost_connection
from tests.support.processes import PATIENCE
from tests.support.silence import Network, forgetful_network

pytestmark = pytest.mark.anyio


async def _commit(sessions: Sessions, network: Network) -> None:
    async with sessions.begin() as session:
        await session.execute(text("SELECT 1"))
        network.forget()


async def _read(sessions: Sessions, network: Network) -> None:
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
        network.forget()


async def _commit_directly(sessions: Sessions, network: Network) -> None:
    async with transaction(sessions) as connection:
        await connection.execute("SELECT 1")
        network.forget()


@pytest.mark.parametrize("work", [_commit, _read, _commit_directly])
async def test_who_ends_a_transaction_in_silence_is_told_and_the_next_gets_a_connection(
    database_url: str, monkeypatch: pytest.MonkeyPatch, work: Callable[[Sessions, Network], Awaitable[None]]
) -> None:
    monkeypatch.setattr(ending, "PATIENCE", timedelta(seconds=0.5))
    async with forgetful_network(database_url) as network:
        engine = create_engine(network.url, pool_size=1)
        sessions = create_sessions(engine)
        working = asyncio.ensure_future(work(sessions, network))
        await asyncio.wait({working}, timeout=PATIENCE)

        assert working.done()
        error = working.exception()
        assert error is not None
        assert is_lost_connection(error)
        async with sessions() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        await engine.dispose()
