"""Holding requests back until a test lets them go."""

import asyncio
from typing import Any

import anyio

from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow import Fault, ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Call
from tests.support.processes import PATIENCE


class Gate(Fault):
    """Every request waits at the gate until it is opened; `waiting` tells how many have come."""

    name = "gate"
    default_on = "any"

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self._open = asyncio.Event()
        self._arrivals = asyncio.Semaphore(0)

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        self.waiting += 1
        self._arrivals.release()
        await self._open.wait()
        return None

    async def arrived(self, count: int) -> None:
        """Waits until so many requests stand at the gate."""
        with anyio.fail_after(PATIENCE):
            for _ in range(count):
                await self._arrivals.acquire()

    def open(self) -> None:
        self._open.set()


async def first_done(tasks: list[asyncio.Task[Any]], count: int) -> None:
    """Waits until so many of the tasks are done."""
    finished = asyncio.as_completed(tasks)
    with anyio.fail_after(PATIENCE):
        for _ in range(count):
            await next(finished)
