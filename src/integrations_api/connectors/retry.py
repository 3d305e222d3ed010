"""How failures are borne: what is waited for how long, and until when.

What the source asks for is waited exactly; otherwise exponential with full jitter. A budget of elapsed time bounds
each request with all its retries.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from msgspec import Struct

from integrations_api.clock import Clock, utc_now
from integrations_api.connectors.errors import PageTooLarge, RateLimited, Retryable, Unreachable
from integrations_api.connectors.records import OnWait, Wait, ignore_wait
from integrations_api.metrics import waited

T = TypeVar("T")

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
FIRST_CONTACT = 30.0
"""Seconds a run tries to reach its source at all: then its URL is the likelier fault, and somebody may be waiting."""
TOLD_FROM = 1.0
"""Waits longer than this (seconds) are told."""


class Time(Struct, frozen=True):
    """The clocks and the dice of waiting; tests hand in their own."""

    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    now: Clock = utc_now
    random: Callable[[], float] = random.random


def backoff(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures (1, 2, …); `chance` between 0 and 1 spreads clients apart."""
    return chance * min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures, 16))


class Patience:
    """How the failures of one source are borne, shared by all requests to it."""

    def __init__(
        self, *, service: str, budget_seconds: float, on_wait: OnWait = ignore_wait, time: Time | None = None
    ) -> None:
        self.service = service
        self.budget_seconds = budget_seconds
        self.time = time or Time()
        self._on_wait = on_wait
        self._one_at_a_time = asyncio.Lock()
        self._closed_until = 0.0
        self._is_first_contact = False

    def attempts(self) -> "Attempts":
        """The start of one request; its retries share one budget."""
        return Attempts(self)

    async def retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The outcome of a request, tried again as long as that makes sense."""
        attempts = self.attempts()
        while True:
            try:
                return await attempt()
            except Retryable as error:
                await attempts.again(error)

    async def shrinking(self, attempt: Callable[[int], Awaitable[T]], limit: int) -> T:
        """The same of one that asks for `limit` things at most, and for fewer where that is too much."""
        attempts = self.attempts()
        while True:
            try:
                return await attempt(limit)
            except PageTooLarge as error:
                await attempts.again(error, at_once=limit > 1)
                limit = max(1, limit // 2)
            except Retryable as error:
                await attempts.again(error)

    @contextmanager
    def first_contact(self) -> Iterator[None]:
        """While the source has not been heard of, it may be out of reach for `FIRST_CONTACT` only."""
        self._is_first_contact = True
        try:
            yield
        finally:
            self._is_first_contact = False

    def budget_for(self, error: Retryable) -> float:
        """Seconds that a request with all its retries may take when it has failed like this."""
        if self._is_first_contact and isinstance(error, Unreachable):
            return min(FIRST_CONTACT, self.budget_seconds)
        return self.budget_seconds

    async def wait(self, seconds: float, reason: str, *, told: bool = True) -> None:
        """Waits, and says so where it takes long."""
        if told and seconds > TOLD_FROM:
            async with self._one_at_a_time:
                await self._on_wait(Wait(seconds, reason))
        await self.time.sleep(seconds)

    async def tell(self, news: str) -> None:
        """Says how far something is that takes long although nothing is waited for: whoever does it is not stuck."""
        async with self._one_at_a_time:
            await self._on_wait(Wait(0.0, news))

    def close_for(self, seconds: float) -> bool:
        """No request leaves before this: what the source asks of one, it asks of all. Whether that is news."""
        until = self.time.monotonic() + seconds
        is_news = until > self._closed_until + TOLD_FROM
        self._closed_until = max(self._closed_until, until)
        return is_news

    async def until_open(self) -> None:
        """Waits while another request was told to wait."""
        while (rest := self._closed_until - self.time.monotonic()) > 0:
            await self.time.sleep(rest)


class Attempts:
    """One request with its retries."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._began = patience.time.monotonic()
        self._failures = 0

    async def again(self, error: Retryable, *, at_once: bool = False) -> None:
        """Waits as long as is right before the next attempt; raises `error` when the budget is spent.

        `at_once` is for a retry that asks for something easier, such as a smaller page.
        """
        self._failures += 1
        patience = self._patience
        left = patience.budget_for(error) - (patience.time.monotonic() - self._began)
        if left <= 0 or (error.retry_after is not None and error.retry_after > left):
            raise _spent(error, patience)
        if error.retry_after:  # Of 0 seconds nothing is left to wait: how long is then ours to choose.
            is_news = patience.close_for(error.retry_after)
            reason = _asked(patience.service, error, error.retry_after)
            waited("rate_limit" if isinstance(error, RateLimited) else "overload", error.retry_after)
            await patience.wait(error.retry_after, reason, told=is_news)
        elif not at_once:
            seconds = min(left, backoff(self._failures, patience.time.random()))
            waited("failure", seconds)
            await patience.wait(seconds, _chosen(patience.service, error, seconds))


def _asked(service: str, error: Retryable, seconds: float) -> str:
    why = "rate limit" if isinstance(error, RateLimited) else "overload"
    return f"{service} asks to wait {_in_words(seconds)} ({why})"


def _chosen(service: str, error: Retryable, seconds: float) -> str:
    return f"{service}: {error.message}; trying again in {_in_words(seconds)}"


def _in_words(seconds: float) -> str:
    return f"{max(1, round(seconds))} s"


def _spent(error: Retryable, patience: Patience) -> Retryable:
    """The error that ends the trying: its own words stay, the remedy says what time there was."""
    if error.retry_after is None or error.retry_after <= patience.budget_seconds:
        return error
    remedy = (
        f"{patience.service} asks to wait {_in_words(error.retry_after)}, longer than the "
        f"{_in_words(patience.budget_seconds)} that are waited here (a sync waits for SYNC_RETRY_BUDGET): "
        "try again or resume the run later, or raise the limit on either side"
    )
    return type(error)(error.message, remedy, error.retry_after)
