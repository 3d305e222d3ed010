"""A listener that lost its connection comes back, whatever asyncpg says of the loss."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from integrations_api.db import notify
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


class _Connection:
    """One that is lost when told to."""

    def __init__(self) -> None:
        self.listening = asyncio.Event()
        self.lose: Callable[[], None] = lambda: None

    def add_termination_listener(self, told: Callable[[Any], None]) -> None:
        self.lose = lambda: told(self)

    async def add_listener(self, *_: Any) -> None:
        self.listening.set()

    def terminate(self) -> None:
        pass


async def test_it_ends_although_the_connection_is_lost_in_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = _Connection()
    connected: list[str] = []

    async def connect(dsn: str) -> _Connection:
        connected.append(dsn)
        return connection

    monkeypatch.setattr(notify, "connect", connect)
    async with asyncio.timeout(60), Listener(dsn="", channel="anything", on_nudge=lambda _: None):
        await connection.listening.wait()
        for _ in range(5):  # Until it waits for the loss.
            await asyncio.sleep(0)
        connection.lose()

    assert len(connected) == 1
