"""Faults of time: slow answers, clocks that are wrong, literals that mean another zone."""

import asyncio
from typing import ClassVar

from integrations_api.simulator.common.clock import ManualClock
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Call

from .base import Fault
from .registry import register


@register
class SlowFirstAnswer(Fault):
    """The first answer takes `seconds` (real) while the instance's own clock moves on by `clock_seconds`.

    Meanwhile `updates` incidents are updated: what was read before they happened is sent with a Date after them.
    """

    name = "slow_first_answer"
    default_on: ClassVar[str] = "any"
    default_times: ClassVar[int | None] = 1
    seconds: float = 0.0
    clock_seconds: int = 30
    updates: int = 5

    async def before(self, call: Call, instance: ServiceNowInstance) -> Answer | None:
        if self.strikes(call) and self.seconds:
            await asyncio.sleep(self.seconds)
        return None

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        if self.strikes(call):
            with instance.lock:
                self._meanwhile(instance)
        return answer

    def _meanwhile(self, instance: ServiceNowInstance) -> None:
        clock = instance.clock
        half = self.clock_seconds // 2
        if isinstance(clock, ManualClock):
            clock.advance(half)
        for sys_id in instance.sys_ids()[: self.updates]:
            instance.update(sys_id, {"short_description": "Changed during the slow first answer"})
        if isinstance(clock, ManualClock):
            clock.advance(self.clock_seconds - half)


@register
class LiteralInSessionZone(Fault):
    """Time literals in queries mean the session's zone, or `zone`, instead of UTC.

    America/New_York has daylight saving.
    """

    name = "literal_in_session_zone"
    default_on: ClassVar[str] = "any"
    zone: str = ""

    def prepare(self, call: Call) -> None:
        if self.strikes(call):
            call.literal_zone = self.zone or (call.user.time_zone if call.user else "UTC")
