"""The clients of `bench.stream`, in a process of their own: they watch one run and note when each event reached them.

`python -m bench.watching PORT RUN COUNT`, the token in the environment as TOKEN. Prints a line once all have seen the
run's first event, and in the end, as JSON, when the last of them had each event (seconds of CLOCK_MONOTONIC, which all
processes share).
"""

import asyncio
import json
import os
import sys
import time
from functools import partial
from typing import cast

import uvloop

AT_ONCE = 50
"""Clients that connect together."""


class Watcher(asyncio.Protocol):
    """One client, who checks that events come in order and notes when."""

    def __init__(self, request: bytes, arrivals: dict[int, list[float]]) -> None:
        loop = asyncio.get_running_loop()
        self.began: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._arrivals = arrivals
        self._rest = b""
        self._seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"id: "):
                self._note(int(line.rpartition(b":")[2]), now)
            elif line == b"0\r":
                self.ended.set_result(None)

    def _note(self, seq: int, now: float) -> None:
        assert seq == self._seen + 1, (seq, self._seen)
        self._seen = seq
        self._arrivals.setdefault(seq, []).append(now)
        if seq == 1:
            self.began.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for awaited in (self.began, self.ended):
            if not awaited.done():
                awaited.set_exception(SystemExit(f"a stream broke ({exc}): {self._rest[:300]!r}"))


async def watch(port: int, run_id: str, count: int) -> None:
    """Connects, waits for the end, prints."""
    request = (
        f"GET /integrations/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {os.environ['TOKEN']}"
    )
    arrivals: dict[int, list[float]] = {}
    make = partial(Watcher, f"{request}\r\n\r\n".encode(), arrivals)
    watchers: list[Watcher] = []
    loop = asyncio.get_running_loop()
    while len(watchers) < count:
        made = [loop.create_connection(make, port=port) for _ in range(min(AT_ONCE, count - len(watchers)))]
        fresh = [watcher for _, watcher in await asyncio.gather(*made)]
        await asyncio.gather(*(one.began for one in fresh))
        watchers += fresh
    print("all are there", flush=True)
    await asyncio.gather(*(watcher.ended for watcher in watchers))
    assert all(len(moments) == count for moments in arrivals.values())
    print(json.dumps({seq: max(moments) for seq, moments in arrivals.items()}), flush=True)


if __name__ == "__main__":
    uvloop.run(watch(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
