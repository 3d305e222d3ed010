"""Requests to one host at the same time, limited over all integrations, workers and machines.

A slot is an advisory lock of PostgreSQL. One connection holds those of this process, so a crash frees them; what
this process itself holds it remembers, for a connection may take its own lock twice. A process that was stopped, or a
machine that lost power, closes no connection: the server does it when nothing was heard of for longer than a request
may take, for it would keep the slots from whoever goes on.
"""

import asyncio
import hashlib
import random
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg

from integrations_api.connectors.errors import Retryable
from integrations_api.connectors.records import Slot
from integrations_api.db.dialling import connect
from integrations_api.db.lost import DATABASE_LOST
from integrations_api.logs import get_logger
from integrations_api.metrics import waited
from integrations_api.tasks import finish

log = get_logger(__name__)

PATIENCE_SECONDS = 120.0
"""How long a request waits for its turn before that counts as a failure to be retried."""
PAUSE_SECONDS = (0.02, 0.2)
MARGIN = timedelta(seconds=20)
"""What giving a slot back may take after the longest request."""

# All in one: where many wait, each would ask for one after the other. The first that is free is taken, and no other.
_TAKE = """
    SELECT slot.place
    FROM set_config('idle_session_timeout', $2, false), unnest($1::bigint[]) WITH ORDINALITY AS slot(key, place)
    WHERE pg_try_advisory_lock(slot.key) LIMIT 1
"""
_GIVE = "SELECT pg_advisory_unlock($1) FROM set_config('idle_session_timeout', $2, false)"


class HostSlots:
    """Gives out slots; open it around the work. Who holds one is heard of again within `silence`."""

    def __init__(self, *, dsn: str, limit: int, silence: timedelta = timedelta(seconds=90)) -> None:
        self._dsn = dsn
        self._limit = limit
        self._silence = str(int(silence.total_seconds() * 1000))
        self._held: defaultdict[str, set[int]] = defaultdict(set)
        self._connection: asyncpg.Connection[Any] | None = None
        self._speaking = asyncio.Lock()

    async def __aenter__(self) -> "HostSlots":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.terminate()

    def of(self, host: str) -> Slot:
        """The slot of one host, however it is spelt, to be held during each request to it."""

        def slot() -> AbstractAsyncContextManager[None]:
            return self._hold(host.lower())

        return slot

    @asynccontextmanager
    async def _hold(self, host: str) -> AsyncGenerator[None, None]:
        number = await self._wait_for_turn(host)
        try:
            yield
        finally:
            await self._free(host, number)

    async def _wait_for_turn(self, host: str) -> int:
        """Raises `Retryable` when no slot came free in time."""
        number = await self._try_all(host)
        if number is not None:
            return number
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (number := await self._try_all(host)) is None:  # noqa: ASYNC110 - other machines free slots too
                    await asyncio.sleep(random.uniform(*PAUSE_SECONDS))  # nosec B311 # noqa: S311 - spreads the waiting, no secret
        except TimeoutError:
            raise Retryable("Too many requests to this host are going on at the same time") from None
        finally:
            waited("slot", time.monotonic() - began)
        return number

    async def _try_all(self, host: str) -> int | None:
        taking = asyncio.ensure_future(self._take(host))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await finish(self._undo(host, taking))
            raise

    async def _undo(self, host: str, taking: "asyncio.Future[int | None]") -> None:
        """Gives back what was asked for by somebody who does not want it any more."""
        number = await taking
        if number is not None:
            await self._give_back(host, number)

    async def _take(self, host: str) -> int | None:
        # What this process holds is looked at when it is its turn to ask, and noted before the next one asks: the
        # connection that holds a number would be given it again.
        async with self._speaking:
            held = self._held[host]
            numbers = [number for number in range(self._limit) if number not in held]
            random.shuffle(numbers)
            keys = [lock_key(host, number) for number in numbers]
            place = await self._say(_TAKE, keys, self._silence, otherwise=1) if keys else None
            if place is None:
                return None
            number = numbers[place - 1]
            held.add(number)
            return number

    async def _free(self, host: str, number: int) -> None:
        """Gives the slot back, also when the task is cancelled meanwhile."""
        await finish(self._give_back(host, number))

    async def _give_back(self, host: str, number: int) -> None:
        async with self._speaking:
            is_last = sum(map(len, self._held.values())) == 1
            silence = "0" if is_last else self._silence
            await self._say(_GIVE, lock_key(host, number), silence, otherwise=1)
            self._held[host].discard(number)

    async def _say(self, statement: str, what: object, silence: str, *, otherwise: int) -> int | None:
        """What the database answers to whoever has `_speaking`.

        While it is away (`otherwise`) every request may go: the run itself waits for it soon enough.
        """
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._dsn)
            answer: int | None = await self._connection.fetchval(statement, what, silence, timeout=10)
        except DATABASE_LOST as error:
            log.warning("sync.slots_lost", error=type(error).__name__)
            return otherwise
        return answer


def lock_key(host: str, number: int) -> int:
    """The advisory lock of a slot: 63 bits of the host's hash and the slot's number."""
    digest = hashlib.sha256(f"host-slot/{host}/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
