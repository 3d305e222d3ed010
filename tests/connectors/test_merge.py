"""Lanes that are read at once: how far ahead of the consumer, and what a failure does."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from integrations_api.connectors.errors import Retryable
from integrations_api.connectors.merge import merged, together
from integrations_api.connectors.records import Page, SourceRecord

pytestmark = pytest.mark.anyio


class Lanes:
    """Lanes of so many pages each; counts the pages that were asked for."""

    def __init__(self, *, pages: int) -> None:
        self.asked = 0
        self._pages = pages

    def lane(self, name: str) -> Callable[[], AsyncGenerator[Page, None]]:
        async def read() -> AsyncGenerator[Page, None]:
            for number in range(self._pages):
                self.asked += 1
                await asyncio.sleep(0)
                yield Page((), name, {"page": number})

        return read


async def _settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_a_slow_consumer_has_no_more_pages_waiting_than_lanes_are_read_at_once() -> None:
    lanes = Lanes(pages=10)

    async with aclosing(merged([lanes.lane(name) for name in "abcdef"], concurrency=3)) as pages:
        taken = 0
        async for _ in pages:
            taken += 1
            await _settled()
            assert lanes.asked <= taken + 3

    assert (taken, lanes.asked) == (60, 60)


async def test_no_more_lanes_are_open_than_are_read_at_once() -> None:
    """Each open lane holds a place at the source: the next one begins where one has come to its end."""
    lanes, unfinished, most = Lanes(pages=5), set[str](), 0

    async with aclosing(merged([lanes.lane(name) for name in "abcdef"], concurrency=2)) as pages:
        async for page in pages:
            unfinished.add(page.lane)
            most = max(most, len(unfinished))
            if page.cursor and page.cursor["page"] == 4:
                unfinished.remove(page.lane)

    assert (most, unfinished) == (2, set())


async def test_pages_of_one_lane_come_in_their_order() -> None:
    lanes = Lanes(pages=5)

    async with aclosing(merged([lanes.lane(name) for name in "abc"], concurrency=2)) as pages:
        came = [(page.lane, page.cursor["page"]) async for page in pages if page.cursor]

    assert sorted(came) == [(name, number) for name in "abc" for number in range(5)]
    assert all([number for lane, number in came if lane == name] == list(range(5)) for name in "abc")


class Records(list[SourceRecord]):
    """Megabytes, in a real page; it can be seen when they are given back."""


async def test_a_page_that_was_taken_does_not_live_on_until_the_next_one_comes() -> None:
    born: list[weakref.ref[Records]] = []

    async def lane() -> AsyncGenerator[Page, None]:
        records = Records()
        born.append(weakref.ref(records))
        page = Page(records, "a", {})
        del records
        yield page
        del page
        await asyncio.Event().wait()

    async with aclosing(merged([lane], concurrency=1)) as pages:

        async def take() -> None:
            await anext(pages)

        await take()
        assert born
        waiting = asyncio.create_task(take())
        await _settled()
        assert born[0]() is None
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_question_that_fails_ends_the_others_that_are_asked_together() -> None:
    ended: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("it waited")

    async def fail() -> None:
        await _settled()
        raise Retryable("Connection timeout")

    with pytest.raises(Retryable):
        await together([wait_for_ever(), fail()])

    assert ended == ["it waited"]
