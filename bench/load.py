"""The load of `bench.api`: so many clients on kept connections, each asking again as soon as it is answered.

A process of its own, so that what asking costs is not what answering costs; `python -m bench.load` reads a `Plan` from
standard input and prints an `Outcome`, both as JSON. Nothing but asyncio: a client that parses more would be slower
than what it measures.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

import uvloop

_PATIENCE = 60.0


@dataclass(frozen=True)
class Plan:
    """Requests (bytes as latin-1 text), to be sent once each by `clients` connections; `status` is what is right."""

    port: int
    clients: int
    status: int
    requests: list[str]


@dataclass(frozen=True)
class Outcome:
    """Seconds from the first request to the last answer, and milliseconds of each."""

    seconds: float
    latencies: list[float]


class _Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, waiting: Iterator[bytes], status: bytes, latencies: list[float]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self._status = status
        self._latencies = latencies
        self._answer = bytearray()
        self._began = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        request = next(self._waiting, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._answer.clear()
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not _is_whole(self._answer):
            return
        self._latencies.append((time.perf_counter() - self._began) * 1000)
        if self._answer[9:12] != self._status:
            self.done.set_exception(SystemExit(f"unexpected answer: {bytes(self._answer[:600])!r}"))
            return
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(SystemExit(f"the server hung up ({exc}): {bytes(self._answer[:600])!r}"))


def _is_whole(answer: bytearray) -> bool:
    """Whether head and body are there, the body's length declared or chunked."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(answer[:end]).lower()
    _, found, rest = head.partition(b"\r\ncontent-length: ")
    if found:
        return len(answer) >= end + 4 + int(rest.partition(b"\r\n")[0])
    return answer.endswith(b"0\r\n\r\n")


async def carry_out(plan: Plan) -> Outcome:
    """Sends everything; ends the process at the first answer that is not the expected one."""
    latencies: list[float] = []
    waiting = iter([request.encode("latin-1") for request in plan.requests])
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: _Client(waiting, str(plan.status).encode(), latencies), port=plan.port))[
            1
        ]
        for _ in range(plan.clients)
    ]
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*(client.done for client in clients))
    return Outcome(seconds=time.perf_counter() - began, latencies=latencies)


def main() -> None:
    """Reads the plan, prints the outcome."""
    plan = Plan(**json.load(sys.stdin))
    print(json.dumps(asdict(uvloop.run(carry_out(plan)))))


if __name__ == "__main__":
    main()
