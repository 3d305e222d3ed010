"""LISTEN and NOTIFY: nudges between processes. Rows are the truth; a nudge may get lost and nobody minds."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.dialling import connect
from integrations_api.db.lost import DATABASE_LOST
from integrations_api.logs import get_logger

log = get_logger(__name__)

OnNudge = Callable[[str | None], None]
"""Called with a payload, or with None after a reconnect: anything may have happened meanwhile."""


async def notify(session: AsyncSession, channel: str, payload: str) -> None:
    """Nudges listeners when the session's transaction commits."""
    await session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})


class Listener:
    """One connection that listens to one channel for as long as it is open, through database restarts."""

    def __init__(self, *, dsn: str, channel: str, on_nudge: OnNudge) -> None:
        self._dsn = dsn
        self._channel = channel
        self._on_nudge = on_nudge
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Listener":
        self._task = asyncio.create_task(self._listen_for_ever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen_for_ever(self) -> None:
        delay = 0.1
        while True:
            try:
                await self._listen_once()
                delay = 0.1
            except DATABASE_LOST as error:
                log.warning("database.listener_lost", channel=self._channel, error=type(error).__name__)
                delay = min(delay * 2, 5.0)
            await asyncio.sleep(delay)

    async def _listen_once(self) -> None:
        """Listens until the connection is lost."""
        connection = await connect(self._dsn)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, self._pass_on)
            self._on_nudge(None)
            while not lost.is_set():
                # Not by `wait_for`: of a loss and a cancellation at the same moment it takes the loss alone.
                with suppress(TimeoutError):
                    async with asyncio.timeout(30):
                        await lost.wait()
                        return
                # A connection cut by a firewall stays silent: asking it something finds out.
                await connection.execute("SELECT 1", timeout=10)
        finally:
            connection.terminate()

    def _pass_on(self, _: Any, __: int, ___: str, payload: object) -> None:
        self._on_nudge(str(payload))
