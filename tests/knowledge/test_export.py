"""Exporting a version."""

import csv
import io
import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from integrations_api.audit.models import AuditEntry
from integrations_api.connectors.records import Note
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import service
from integrations_api.knowledge.exporting import CsvTable, defused
from integrations_api.knowledge.service import KnowledgeService
from tests.knowledge.conftest import ADMIN, Api
from tests.support.knowledge import Story, build_versions, doc, gone

pytestmark = pytest.mark.anyio


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a story of a few incidents needs several pages."""
    monkeypatch.setattr(service, "EXPORT_PAGE", 2)


def path_of(story: Story, version: int = 1) -> str:
    return f"/knowledge/datasets/{story.dataset_id}/versions/{version}/export"


def parsed(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


async def five(sessions: Sessions) -> Story:
    """INC1 to INC5, of which only the first and the last have a certain attribute."""
    first = {"INC1": doc(early="yes"), "INC2": doc(), "INC3": doc(), "INC4": doc(), "INC5": doc(late="yes")}
    return await build_versions(sessions, first, {"INC1": gone(), "INC2": doc(state="Closed")})


@pytest.mark.usefixtures("pages_of_two")
async def test_an_export_is_the_listing_line_by_line(api: Api, sessions: Sessions) -> None:
    story = await five(sessions)

    answer = await api.raw(path_of(story, 2))
    listing = await api.get(f"/knowledge/datasets/{story.dataset_id}/versions/2/incidents")

    assert parsed(answer.text) == listing["incidents"]
    assert answer.text.endswith("\n")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == f'attachment; filename="incidents-{story.dataset_id}-v2.ndjson"'


async def test_a_line_is_one_line_to_readers_that_end_lines_at_other_signs_too(api: Api, sessions: Sessions) -> None:
    odd = "one\x85two\u2028three\u2029four\x0bfive\x0csix\x1cseven \u4f60\u597d"
    story = await build_versions(sessions, {"INC1": doc(text=odd, colour=odd), "INC2": doc()})

    answer = await api.raw(path_of(story))

    (first, second) = [json.loads(line) async for line in answer.aiter_lines()]
    assert (first["text"], first["attributes"]["colour"], second["number"]) == (odd, odd, "INC2")
    assert "\u4f60\u597d" in answer.text


@pytest.mark.usefixtures("pages_of_two")
@pytest.mark.parametrize("kind", ["ndjson", "csv"])
async def test_a_broken_export_goes_on_behind_any_line(api: Api, sessions: Sessions, kind: str) -> None:
    story = await five(sessions)
    whole = (await api.raw(path_of(story), format=kind)).text
    lines = whole.splitlines(keepends=True)
    first = 1 if kind == "csv" else 0

    for kept in range(first + 1, len(lines) + 1):
        last = f"INC{kept - first}"
        rest = await api.raw(path_of(story), format=kind, after=str(story.id(last)))

        assert "".join(lines[:kept]) + rest.text == whole


async def test_an_export_is_audited(api: Api, sessions: Sessions) -> None:
    story = await five(sessions)

    await api.raw(path_of(story), caller="viewer", format="csv")

    async with sessions() as session:
        entry = (await session.scalars(select(AuditEntry))).one()
    assert (entry.actor, entry.action, entry.object_id) == (
        "viewer@example.com",
        "knowledge.export",
        str(story.dataset_id),
    )
    assert entry.details == {"version": 1, "format": "csv", "after": None}


async def test_a_version_being_built_is_not_exported(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()})
    await story.version({"INC2": doc()}, state="building")

    answer = await api.get(path_of(story, 2), status=409)

    assert answer["message"] == "Version 2 is being built: export it when it is published"


async def test_an_export_goes_on_only_behind_an_incident_of_its_version(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": doc()}, {"INC2": doc()})

    answer = await api.get(path_of(story, 1), status=422, after=str(story.id("INC2")))

    assert answer["errors"][0]["field"] == "after"
    assert (await api.get(path_of(story, 1), status=422, format="xml"))["message"].startswith("format")


@pytest.mark.usefixtures("pages_of_two")
async def test_an_export_holds_a_page_at_a_time_and_no_session(knowledge: KnowledgeService, sessions: Sessions) -> None:
    story = await five(sessions)
    opened = await knowledge.export(story.dataset_id, 1, format_="ndjson", after=None, principal=ADMIN)

    sizes = []
    async for chunk in opened.chunks:
        sizes.append(len(chunk.splitlines()))
        # Nothing is checked out while the client takes its time.
        assert sessions.kw["bind"].pool.checkedout() == 0

    assert sizes == [2, 2, 1]


@pytest.mark.usefixtures("pages_of_two")
async def test_csv_gives_known_attributes_columns_and_keeps_the_others(api: Api, sessions: Sessions) -> None:
    note = Note(at="2026-03-01T09:58:10Z", author="Beth", kind="work_notes", text="Restarted.")
    story = await build_versions(
        sessions,
        {
            "INC1": doc(text='Says "no"; then,\nnothing', notes=[note]),
            "INC2": doc(priority="1", tags=["a"]),
            "INC3": doc(colour="red"),
        },
    )

    answer = await api.raw(path_of(story), format="csv")

    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert [row["attributes.priority"] for row in rows] == ["", "1", ""]
    assert [row["attributes.tags"] for row in rows] == ["", '["a"]', ""]
    assert [row["other_attributes"] for row in rows] == ["", "", '{"colour":"red"}']
    assert rows[0]["text"] == 'Says "no"; then,\nnothing'
    assert json.loads(rows[0]["notes"])[0]["author"] == "Beth"
    assert [row["number"] for row in rows] == ["INC1", "INC2", "INC3"]


async def test_csv_cells_cannot_be_formulas(api: Api, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"=INC": doc(title="=cmd|' /C calc'!A0", text="+1", sum="-2")})

    answer = await api.raw(path_of(story), format="csv")

    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (row["number"], row["title"], row["text"]) == ("'=INC", "'=cmd|' /C calc'!A0", "'+1")
    assert row["attributes.sum"] == "'-2"
    for start in (*"=+-@\t\r\n\uff1d\uff0b\uff0d\uff20", " =", "\u3000+", "\ufeff\u200b@"):
        assert defused(f"{start}x") == f"'{start}x"
    assert [defused(value) for value in ("a=b", " a", "", None, -2, 1.5, True)] == [
        "a=b", " a", "", "", "-2", "1.5", "true",
    ]  # fmt: skip


def test_what_was_done_to_a_csv_cell_can_be_undone() -> None:
    texts = ["=1", "'=1", "''=1", "'", "' =1", "'\t1", "'a", "'tis", "\u3000+1", "a=1", ""]

    cells = [defused(text) for text in texts]

    assert len(set(cells)) == len(texts)
    assert [re.sub(r"^'(?='*(?:[\t\r\n]|[\s\ufeff\u200b]*[=+@＝＋－＠-]))", "", cell) for cell in cells] == texts


def test_csv_columns_come_from_the_first_page_in_the_order_of_names() -> None:
    table = CsvTable([{"attributes": {"b": 1}}, {"attributes": {"a": 1}}])

    assert table.header().decode().strip().endswith("attributes.a,attributes.b,other_attributes,notes")
