"""What every connector must do. A connector's tests derive from `ConformanceTests` and give it a `source` fixture."""

import asyncio
import json
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Protocol

import orjson
import pytest

from integrations_api.connectors.errors import Refused, Retryable
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import FetchRequest, JsonObject, Page
from tests.connectors.copying import Copy, fetch


class SourceUnderTest(Protocol):
    """A living source that a test can change. It holds at least 60 records; its clock is moved by the test alone."""

    secrets: list[str]

    def open(
        self, *, page_size: int = 7, concurrency: int = 1, budget: float = 5, wrong_password: bool = False
    ) -> Connector:
        """A connector that waits without waiting."""
        ...

    def open_elsewhere(self) -> Connector:
        """A connector for an address where nobody listens."""
        ...

    def titles(self) -> dict[str, str]:
        """External id to title, of all there is."""
        ...

    def create(self, title: str) -> str: ...
    def update(self, external_id: str, title: str) -> None: ...
    def touch(self, external_id: str) -> None:
        """A change of nothing but the stamp."""
        ...

    def delete(self, external_id: str) -> None: ...
    def clear(self) -> None:
        """Deletes everything."""
        ...

    def advance(self, seconds: int) -> None: ...
    def now(self) -> datetime: ...


def through_json(cursor: JsonObject | None) -> JsonObject | None:
    """A cursor as it comes back from the database."""
    restored: JsonObject | None = json.loads(json.dumps(cursor))
    return restored


async def numbers_of(source: SourceUnderTest) -> dict[str, str]:
    """External id to number, of all there is."""
    async with source.open() as connector:
        return {record.external_id: connector.map(record).number for record in (await fetch(connector)).records}


class ConformanceTests:
    pytestmark = pytest.mark.anyio

    async def test_a_full_read_brings_every_record_once(self, source: SourceUnderTest) -> None:
        async with source.open() as connector:
            fetched = await fetch(connector)
            counted = await connector.count_to_read(fetched.start)
        ids = [record.external_id for record in fetched.records]
        assert len(ids) == len(set(ids)) == counted.total
        assert set(ids) == set(source.titles())

    @pytest.mark.parametrize(("page_size", "concurrency"), [(1, 1), (7, 4), (60, 1), (10_000, 4)])
    async def test_page_size_and_lanes_make_no_difference(
        self, source: SourceUnderTest, page_size: int, concurrency: int
    ) -> None:
        async with source.open(page_size=page_size, concurrency=concurrency) as connector:
            fetched = await fetch(connector)
        ids = sorted(record.external_id for record in fetched.records)
        assert ids == sorted(source.titles())

    async def test_every_record_maps_to_a_document_and_always_to_the_same(self, source: SourceUnderTest) -> None:
        async with source.open() as connector:
            fetched = await fetch(connector)
            titles = {}
            for record in fetched.records:
                document = connector.map(record)
                assert document == connector.map(connector.restore(orjson.loads(orjson.dumps(record.raw))))
                orjson.dumps(document.attributes)
                assert document.number
                titles[record.external_id] = document.title
        assert titles == source.titles()

    async def test_a_change_of_nothing_but_the_stamp_is_no_change_of_content(self, source: SourceUnderTest) -> None:
        copy = Copy(source.open)
        await copy.sync()
        before = dict(copy.documents)
        source.advance(3600)
        for external_id in sorted(before)[:5]:
            source.touch(external_id)
        fetched = await copy.sync()
        assert {record.external_id for record in fetched.records} >= set(sorted(before)[:5])
        assert copy.documents == before

    @pytest.mark.parametrize("concurrency", [1, 3])
    async def test_a_read_resumes_at_every_committed_page_in_another_process(
        self, source: SourceUnderTest, concurrency: int
    ) -> None:
        async with source.open(concurrency=concurrency) as connector:
            start = await connector.start(FetchRequest("full", None))
        lanes = {lane: through_json(cursor) for lane, cursor in start.lanes.items()}
        seen: list[str] = []
        # One page per process: each time the pages that were read ahead are thrown away.
        while any(cursor is not None for cursor in lanes.values()):
            page = await self._one_page(source.open(concurrency=concurrency), start, lanes)
            seen.extend(record.external_id for record in page.records)
            lanes[page.lane] = through_json(page.cursor)
        assert sorted(seen) == sorted(source.titles())

    async def _one_page(self, opened: Connector, start: object, lanes: dict[str, JsonObject | None]) -> Page:
        async with opened as connector, aclosing(connector.pages(start, lanes)) as pages:  # type: ignore[arg-type]
            async for page in pages:
                return page
        raise AssertionError("an unfinished lane gave no page")

    async def test_a_read_that_is_left_early_leaves_nothing_running(self, source: SourceUnderTest) -> None:
        before = asyncio.all_tasks()
        async with source.open(concurrency=3) as connector:
            start = await connector.start(FetchRequest("full", None))
            async with aclosing(connector.pages(start, start.lanes)) as pages:
                async for _ in pages:
                    break
            assert asyncio.all_tasks() == before

    async def test_finished_lanes_are_not_read_again(self, source: SourceUnderTest) -> None:
        async with source.open() as connector:
            start = await connector.start(FetchRequest("full", None))
            async with aclosing(connector.pages(start, dict.fromkeys(start.lanes))) as pages:
                assert [page async for page in pages] == []

    async def test_an_incremental_read_brings_what_is_new_or_changed_and_little_else(
        self, source: SourceUnderTest
    ) -> None:
        copy = Copy(source.open)
        await copy.sync()
        source.advance(7200)
        changed = sorted(source.titles())[::10]
        for external_id in changed:
            source.update(external_id, "Changed since")
        created = source.create("New since")
        fetched = await copy.sync()
        ids = {record.external_id for record in fetched.records}
        assert ids >= {*changed, created}
        assert len(ids) < len(source.titles()) / 2
        async with source.open() as connector:
            assert (await connector.count_to_read(fetched.start)).total == len(ids)
        assert {key: document.title for key, document in copy.documents.items()} == source.titles()

    async def test_syncing_twice_changes_nothing(self, source: SourceUnderTest) -> None:
        copy = Copy(source.open)
        await copy.sync()
        before = dict(copy.documents)
        for _ in range(2):
            await copy.sync()
        assert copy.documents == before

    async def test_the_watermark_is_never_later_than_what_was_seen(self, source: SourceUnderTest) -> None:
        source.advance(90_000)  # the newest change is a day old
        async with source.open() as connector:
            start = await connector.start(FetchRequest("full", None))
        assert start.next_watermark is not None
        assert start.next_watermark < source.now() - timedelta(seconds=89_000)
        assert abs(start.source_now - source.now()) < timedelta(seconds=2)

    async def test_nor_is_it_later_than_the_sources_clock_which_may_have_been_set_back(
        self, source: SourceUnderTest
    ) -> None:
        source.advance(7200)
        source.update(min(source.titles()), "Changed by a clock that was ahead")
        source.advance(-3600)
        async with source.open() as connector:
            start = await connector.start(FetchRequest("full", None))
        assert start.next_watermark is not None
        assert start.next_watermark < source.now()

    async def test_an_empty_source_is_an_end_and_not_an_error(self, source: SourceUnderTest) -> None:
        source.clear()
        async with source.open(concurrency=3) as connector:
            fetched = await fetch(connector)
            assert (await connector.count(fetched.start.source_now)).total == 0
            again = await connector.start(FetchRequest("incremental", source.now()))
        assert fetched.records == []
        assert fetched.pages[-1].cursor is None
        assert fetched.start.next_watermark is None
        assert not any("everything" in note.lower() for note in (*fetched.start.notes, *again.notes))

    async def test_the_count_has_the_bound_that_was_asked_for(self, source: SourceUnderTest) -> None:
        before = source.now()
        source.advance(60)
        source.create("Created after the bound")
        async with source.open() as connector:
            assert (await connector.count(before)).total == len(source.titles()) - 1
            assert (await connector.count(source.now())).total == len(source.titles())

    async def test_only_what_is_gone_is_confirmed_gone(self, source: SourceUnderTest) -> None:
        numbers = await numbers_of(source)
        living, dead, *_ = sorted(numbers)
        source.delete(dead)
        async with source.open() as connector:
            suspects = {key: numbers[key] for key in (living, dead)}
            assert {(lost.external_id, lost.reason) for lost in await connector.confirm_gone(suspects)} == {
                (dead, "deleted")
            }
            assert await connector.confirm_gone({}) == []

    async def test_what_was_read_from_another_service_is_gone(self, source: SourceUnderTest) -> None:
        """An integration that is pointed to another service keeps its dataset."""
        never_mapped = "9d385017c611228701d22104cc95c372"
        others = {"9d385017c611228701d22104cc95c371": "INC0010023", "7654321": "OPS-7", "87654321": "acme/api#45"}
        others[never_mapped] = ""
        async with source.open() as connector:
            assert {lost.external_id for lost in await connector.confirm_gone(others)} == others.keys()

    async def test_everything_gone_is_confirmed_as_well(self, source: SourceUnderTest) -> None:
        numbers = await numbers_of(source)
        source.clear()
        async with source.open() as connector:
            assert {lost.external_id for lost in await connector.confirm_gone(numbers)} == set(numbers)

    async def test_wrong_credentials_are_refused_with_a_remedy_and_without_the_secret(
        self, source: SourceUnderTest
    ) -> None:
        async with source.open(wrong_password=True) as connector:
            with pytest.raises(Refused) as caught:
                await connector.start(FetchRequest("full", None))
            assert caught.value.remedy
            shown = f"{caught.value.message} {caught.value.remedy}"
            assert not any(secret in shown for secret in source.secrets)
            checks = await connector.check()
        assert any(check.status == "failed" and check.remedy for check in checks)
        assert not any(secret in repr(checks) for secret in source.secrets)

    async def test_a_source_that_is_not_there_may_be_tried_again(self, source: SourceUnderTest) -> None:
        async with source.open_elsewhere() as connector:
            with pytest.raises(Retryable, match="Connection"):
                await connector.start(FetchRequest("full", None))
            assert (await connector.check())[0].status == "failed"

    async def test_the_preflight_of_a_good_source_fails_nowhere(self, source: SourceUnderTest) -> None:
        async with source.open() as connector:
            checks = await connector.check()
        assert [check for check in checks if check.status == "failed"] == []
        assert all(check.seen for check in checks)
        assert all(check.remedy for check in checks if check.status == "warning")
