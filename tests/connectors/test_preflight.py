"""What preflights have in common."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import cast

import httpx
import pytest

from integrations_api.connectors import preflight
from integrations_api.connectors.errors import Unreachable
from integrations_api.connectors.github.checks import Preflight
from integrations_api.connectors.github.client import GitHubClient
from integrations_api.connectors.github.config import GitHubConfig
from integrations_api.connectors.records import Check

pytestmark = pytest.mark.anyio


async def test_what_was_seen_before_the_time_was_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MOST_SECONDS", 0.01)

    async def checks() -> AsyncGenerator[Check, None]:
        yield Check("reachable", "ok", "The server answers")
        await asyncio.Event().wait()

    told = await preflight.collected(checks())

    assert [(check.name, check.status) for check in told] == [("reachable", "ok"), ("time", "failed")]


async def test_a_source_that_says_nothing_was_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MOST_SECONDS", 0.01)

    async def checks() -> AsyncGenerator[Check, None]:
        await asyncio.Event().wait()
        yield Check("reachable", "ok", "The server answers")

    told = await preflight.collected(checks())

    assert [(check.name, check.status) for check in told] == [("reachable", "failed")]


async def test_a_check_that_cannot_be_made_has_failed_in_words() -> None:
    async def step() -> Check:
        raise Unreachable("Connection refused")

    assert await preflight.safely("clock", step) == Check("clock", "failed", "Connection refused", "Try again later")


async def test_a_limit_in_digits_that_are_none_is_not_announced() -> None:
    headers = httpx.Headers([(b"x-ratelimit-limit", b"\xb2"), (b"x-ratelimit-remaining", b"9" * 5000)])
    client = cast(GitHubClient, SimpleNamespace(headers=headers))

    made = await Preflight(client, cast(GitHubConfig, None), 1)._rate_limit()

    assert (made.status, made.seen) == ("ok", "No rate limit is announced")
