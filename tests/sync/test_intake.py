"""What one record may be, whoever sends it: it is mapped, or rejected with a reason, and keeps nobody waiting."""

import asyncio
import threading
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.records import JsonObject, MappedDocument, Page, SourceRecord
from integrations_api.knowledge import staging
from integrations_api.knowledge.staging import Rejection
from integrations_api.sync import intake
from integrations_api.sync.intake import LARGE, judged, map_page, raw_text, take_in_rejected
from integrations_api.sync.models import SyncRun

pytestmark = pytest.mark.anyio

RUN = SyncRun(id=uuid4(), dataset_id=uuid4())


class Mapping:
    """As much of a connector as maps; it goes on as soon as the event loop did."""

    def __init__(self) -> None:
        self.others_went_on = threading.Event()

    def map(self, record: SourceRecord) -> MappedDocument:
        if not self.others_went_on.wait(timeout=10):
            raise RecordRejected("everybody waited for it")
        return MappedDocument(number="INC1", title="", text="", notes=[], attributes={}, url=None)

    def restore(self, raw: JsonObject) -> SourceRecord:
        return SourceRecord("1", None, None, raw)


def record(text: Any) -> SourceRecord:
    return SourceRecord("1", None, None, {"id": "1", "text": text})


async def test_while_a_large_record_is_mapped_others_go_on() -> None:
    mapping = Mapping()
    asyncio.get_running_loop().call_soon(mapping.others_went_on.set)

    staged = await judged(record("x" * LARGE), mapping)  # type: ignore[arg-type]

    assert (staged.rejection, staged.document is not None) == (None, True)


async def test_a_record_that_is_larger_than_any_is_rejected_and_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "LARGEST", LARGE)

    staged = await judged(record("x" * LARGE), Mapping())  # type: ignore[arg-type]

    assert (staged.raw, staged.document) == ("{}", None)
    assert staged.rejection == "it is larger than 20 MB: shorten its texts or lists at the source"


@pytest.mark.parametrize("levels", [300, 1000])
async def test_a_record_that_is_nested_too_deeply_is_rejected(levels: int) -> None:
    from integrations_api.connectors.servicenow.mapping import map_record

    text: Any = "x"
    for _ in range(levels):
        text = [text]

    class ServiceNow:
        def map(self, one: SourceRecord) -> MappedDocument:
            return map_record(one, "https://example.com/")

    staged = await judged(record(text), ServiceNow())  # type: ignore[arg-type]

    assert (staged.document, staged.rejection) == (None, "it is nested too deeply")


async def test_a_record_of_which_too_deep_a_field_was_chosen_is_rejected() -> None:
    from integrations_api.connectors.jira.mapping import map_issue, read_issue

    value: Any = "x"
    for _ in range(300):
        value = [value]

    class Jira:
        def map(self, one: SourceRecord) -> MappedDocument:
            return map_issue(one, site="https://example.com", custom=["customfield_1"])

    issue = read_issue({"id": "1", "key": "OPS-1", "fields": {"customfield_1": value}})
    connector: Any = Jira()

    taken = await map_page(Page([issue], lane="all", cursor=None), run=RUN, connector=connector, first=0)

    row = (RUN.id, "1", 0, RUN.dataset_id, None, None, "it is nested too deeply", raw_text(issue.raw), None, None)
    assert (taken.rows, taken.contents) == ([row], [])


async def test_a_stored_copy_that_cannot_be_read_stays_rejected_for_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    nested = "[" * 100_000

    async def stored(*_: object) -> list[Rejection]:
        return [Rejection("1", "it is nested too deeply", None, None, nested)]

    monkeypatch.setattr(staging, "open_rejections", stored)

    taken = await take_in_rejected(async_sessionmaker(), run=RUN, connector=Mapping())  # type: ignore[arg-type]

    row = (RUN.id, "1", -1, RUN.dataset_id, None, None, "it is nested too deeply", nested, None, None)
    assert (taken.rows, taken.contents) == ([row], [])
