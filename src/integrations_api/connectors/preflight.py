"""What connectors' preflights have in common: bounded in time, and a check that cannot be made has failed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime, timedelta

from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.records import Check

MOST_SECONDS = 45.0
_SKEW_WORTH_TELLING = timedelta(minutes=1)

Step = Callable[[], Awaitable[Check]]


async def collected(checks: AsyncGenerator[Check, None]) -> list[Check]:
    """Every check that could be made within `MOST_SECONDS`; the last one says so when that was too short."""
    made: list[Check] = []
    try:
        async with asyncio.timeout(MOST_SECONDS), aclosing(checks):
            async for check in checks:
                made.append(check)  # noqa: PERF401 - what was made before a time-out is kept
    except TimeoutError:
        made.append(_too_slow() if made else _no_answer())
    return made


def _too_slow() -> Check:
    return Check("time", "failed", f"The checks took longer than {MOST_SECONDS:.0f} s", "Ask why the source is slow")


def _no_answer() -> Check:
    remedy = "Check the URL, and whether a firewall drops the connection; else ask why the source is slow"
    return Check("reachable", "failed", f"No answer came within {MOST_SECONDS:.0f} s", remedy)


async def safely(name: str, step: Step) -> Check:
    """The check, failed in words when the source could not be asked."""
    try:
        return await step()
    except ConnectorError as error:
        return Check(name, "failed", error.message, error.remedy or "Try again later")


def clock_check(theirs: datetime | None, ours: datetime, *, noun: str) -> Check:
    """The source's clock, where it tells it, beside ours."""
    if theirs is None:
        return Check("clock", "ok", f"The source does not tell its time; its {noun} do")
    skew = theirs - ours
    if abs(skew) < _SKEW_WORTH_TELLING:
        return Check("clock", "ok", "The clocks agree")
    minutes = abs(skew).total_seconds() / 60
    seen = f"The source's clock is {minutes:.0f} min {'ahead' if skew > timedelta(0) else 'behind'}"
    return Check("clock", "warning", seen, "No sync depends on it, but times will look odd: check both clocks")


def in_words(seconds: float) -> str:
    """About how long something takes."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
