"""A listener that lost its connection comes back, whatever asyncpg says of the loss."""

import asyncio
from typing import Any

import asyncpg
import pytest

from integrations_api.db.notify import Listener
from tests.support.databases import plain_url

pytestmark = pytest.mark.anyio


async def test_it_listens_again_when_the_connection_is_cut_before_it_listens(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = asyncpg.Connection.add_listener
    cuts = iter([asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")])

    async def cut_once(self: Any, *given: Any) -> None:
        for error in cuts:
            raise error
        await listen(self, *given)

    monkeypatch.setattr(asyncpg.Connection, "add_listener", cut_once)
    nudged = asyncio.Event()

    async with Listener(dsn=plain_url(database_url), channel="anything", on_nudge=lambda _: nudged.set()):
        async with asyncio.timeout(60):
            await nudged.wait()
