"""Pages are committed in their order, whatever the order in which their contents are written."""

import asyncio
from collections.abc import Sequence

import pytest

from integrations_api.connectors.records import Page
from integrations_api.knowledge.documents import Content
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.intake import Intake
from integrations_api.sync.page_writer import PageWriter

pytestmark = pytest.mark.anyio


class Database:
    """Remembers what was committed; the contents of the first page wait until they are let through."""

    def __init__(self, *, broken: str = "") -> None:
        self.committed: list[str] = []
        self.contents = 0
        self.first_may_go = asyncio.Event()
        self.second_is_ready = asyncio.Event()
        self._broken = broken

    async def keep_contents(self, _: Sequence[Content]) -> None:
        self.contents += 1
        if self.contents == 1:
            await self.first_may_go.wait()
        else:
            self.second_is_ready.set()

    async def keep_page(self, page: Page, _: Intake) -> list[LoggedEvent]:
        if page.lane == self._broken:
            raise ConnectionError(page.lane)
        self.committed.append(page.lane)
        return [LoggedEvent(seq=len(self.committed), event="progress", payload=page.lane)]


def page(name: str) -> Page:
    return Page(records=(), lane=name, cursor=None)


async def test_a_page_whose_contents_are_ready_waits_for_those_before_it() -> None:
    database = Database()

    async def write_two() -> list[LoggedEvent]:
        async with PageWriter(keep_contents=database.keep_contents, keep_page=database.keep_page) as writer:
            first, second = [await writer.put(page(name), Intake([], [])) for name in ("a", "b")]
            return [*first, *second, *await writer.drain()]

    writing = asyncio.create_task(write_two())
    await database.second_is_ready.wait()
    assert database.committed == []
    database.first_may_go.set()
    told = await writing

    assert database.committed == ["a", "b"]
    assert [event.payload for event in told] == ["a", "b"]


async def test_no_more_pages_are_on_their_way_than_there_is_memory_for() -> None:
    database = Database()
    async with PageWriter(keep_contents=database.keep_contents, keep_page=database.keep_page) as writer:
        await writer.put(page("a"), Intake([], []))
        putting = asyncio.create_task(writer.put(page("b"), Intake([], [])))
        await database.second_is_ready.wait()
        assert not putting.done()
        database.first_may_go.set()

        assert [event.payload for event in await putting] == ["a"]


async def test_what_stops_a_page_stops_those_behind_it() -> None:
    database = Database(broken="a")
    database.first_may_go.set()

    async def write_two() -> None:
        async with PageWriter(keep_contents=database.keep_contents, keep_page=database.keep_page) as writer:
            for name in ("a", "b"):
                await writer.put(page(name), Intake([], []))
            await writer.drain()

    with pytest.raises(ConnectionError):
        await write_two()
    assert database.committed == []


async def test_leaving_early_leaves_nothing_running() -> None:
    database = Database()
    async with PageWriter(keep_contents=database.keep_contents, keep_page=database.keep_page) as writer:
        await writer.put(page("a"), Intake([], []))

    database.first_may_go.set()
    await asyncio.sleep(0)
    assert database.committed == []
    assert len(asyncio.all_tasks()) <= 2
