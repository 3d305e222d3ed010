"""Faults that any source over HTTP can have: slow, silent, cut off, elsewhere, or with a clock that is wrong."""

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from .faults import C, Fault, W
from .messages import Answer, Call, Reset, Trickle


class Refusal(Fault[W, C]):
    """Answers the requests that it strikes with `answer`, before anybody signs in."""

    default_on: ClassVar[str] = "any"
    default_times: ClassVar[int | None] = 1

    async def before(self, call: C, instance: W) -> Answer | None:
        return self.answer(call, instance) if self.strikes(call) else None

    def answer(self, call: C, instance: W) -> Answer:
        """What is sent in place of the right answer."""
        raise AssertionError(f"{self.name} has no answer")


class Redirect(Refusal[Any, Call]):
    """A redirect to `location`, which a client that carries credentials must not follow."""

    name = "redirect"
    location: str = "http://127.0.0.1:9/elsewhere"
    status: int = 302

    def answer(self, call: Call, instance: Any) -> Answer:
        return Answer(self.status, {"Location": self.location})


class Latency(Fault[Any, Call]):
    """Every answer takes `milliseconds` longer."""

    name = "latency"
    default_on: ClassVar[str] = "any"
    milliseconds: int = 50

    async def before(self, call: Call, instance: Any) -> Answer | None:
        if self.strikes(call):
            await asyncio.sleep(self.milliseconds / 1000)
        return None


class NeverAnswers(Fault[Any, Call]):
    """The request is taken and never answered; the connection stays open until the client gives up."""

    name = "never_answers"
    default_times: ClassVar[int | None] = 1
    LONGEST: ClassVar[float] = 600.0

    async def before(self, call: Call, instance: Any) -> Answer | None:
        if self.strikes(call):
            await asyncio.sleep(self.LONGEST)
        return None


class ClockSkew(Fault[Any, Call]):
    """The source's clock is off by `seconds` (900: a quarter of an hour ahead), for its Date and its records."""

    name = "clock_skew"
    seconds: int = 900

    def attach(self, instance: Any) -> None:
        instance.clock.offset = self.seconds

    def detach(self, instance: Any) -> None:
        instance.clock.offset = 0


class ClockJumps(Fault[Any, Call]):
    """Nodes with different clocks: the offset changes with every request, round and round through `offsets` (s)."""

    name = "clock_jumps"
    default_on: ClassVar[str] = "any"
    offsets: Sequence[int] = (0, 900, -900, 60)

    async def before(self, call: Call, instance: Any) -> Answer | None:
        if self.strikes(call):
            instance.clock.offset = self.offsets[self.hits % len(self.offsets)]
        return None

    def detach(self, instance: Any) -> None:
        instance.clock.offset = 0


class _CutOff(Fault[Any, Call]):
    """Chooses where a body ends: at `at_byte` (negative: counted from the end), or after a `share` of it."""

    default_times: ClassVar[int | None] = 1
    at_byte: int | None = None
    share: float = 0.5

    def left_of(self, body: bytes) -> int:
        if self.at_byte is None:
            return int(len(body) * self.share)
        return max(0, len(body) + self.at_byte) if self.at_byte < 0 else min(self.at_byte, len(body))


class TruncatedJson(_CutOff):
    """200 with a true Content-Length and only the first `at_byte` bytes (or `share` of it)."""

    name = "truncated_json"

    def after(self, call: Call, answer: Answer, instance: Any) -> Answer:
        if self.strikes(call):
            answer.body = answer.body[: self.left_of(answer.body)]
        return answer


class ResetMidBody(_CutOff):
    """The connection is reset (RST) after `at_byte` bytes of the body, or a `share` of it."""

    name = "reset_mid_body"

    def after(self, call: Call, answer: Answer, instance: Any) -> Answer:
        if self.strikes(call):
            answer.delivery = Reset(self.left_of(answer.body))
        return answer


class TrickleBody(Fault[Any, Call]):
    """The body comes in pieces of `size` bytes with `seconds` between them."""

    name = "trickle"
    default_times: ClassVar[int | None] = 1
    size: int = 64
    seconds: float = 0.2

    def after(self, call: Call, answer: Answer, instance: Any) -> Answer:
        if self.strikes(call):
            answer.delivery = Trickle(self.size, self.seconds)
        return answer


GENERAL: tuple[type[Fault[Any, Any]], ...] = (
    Redirect, Latency, NeverAnswers, ClockSkew, ClockJumps, TruncatedJson, ResetMidBody, TrickleBody,
)  # fmt: skip
"""What a source's book of faults starts from."""
