"""From an issue to a document."""

from typing import Any

import pytest

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.github.mapping import as_raw, map_record, priority_of, read_record
from integrations_api.connectors.records import MappedDocument
from integrations_api.simulator.github import GitHubServer
from tests.connectors.copying import fetch
from tests.connectors.github.sources import ALL, SimulatedGitHub, instance_of

ISSUE: dict[str, Any] = {
    "id": 2045, "node_id": "I_x", "number": 45, "title": "Login fails  ", "body": "Since Monday.\r\nOnly in Safari.",
    "repository_url": "https://api.github.com/repos/octo-org/website",
    "html_url": "https://github.com/octo-org/website/issues/45",
    "user": {"login": "ana"}, "assignees": [{"login": "bram"}, {"login": "chiara"}], "locked": False,
    "labels": [{"name": "priority: high"}, {"name": "bug"}, {"name": "area/sign-in"}],
    "milestone": {"title": "Autumn", "due_on": "2026-10-01T07:00:00Z"}, "comments": 2,
    "state": "closed", "state_reason": "not_planned", "reactions": {"total_count": 3},
    "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-02T10:00:00Z", "closed_at": "2026-03-02T09:00:00Z",
}  # fmt: skip
COMMENTS: list[dict[str, Any]] = [
    {"author": {"login": "bram"}, "body": "I can reproduce it.", "createdAt": "2026-03-01T11:00:00Z"},
    {"author": None, "body": "Me too.\r\n", "createdAt": "2026-03-01T12:00:00Z"},
]


def mapped(**changes: Any) -> MappedDocument:
    return map_record(read_record(as_raw(ISSUE | changes, COMMENTS)))


def test_an_issue_reads_as_a_person_would_want_it() -> None:
    document = mapped()
    assert (document.number, document.title) == ("octo-org/website#45", "Login fails")
    assert document.text == "Since Monday.\nOnly in Safari."
    assert document.url == "https://github.com/octo-org/website/issues/45"
    assert document.attributes == {
        "state": "Closed", "state_code": "closed", "state_reason": "Not planned", "state_reason_code": "not_planned",
        "priority": "High", "priority_code": "2", "category": "Bug", "subcategory": "sign-in",
        "assignment_group": "octo-org/website", "repository": "octo-org/website",
        "assigned_to": "bram, chiara", "assignees": ["bram", "chiara"], "opened_by": "ana",
        "labels": ["area/sign-in", "bug", "priority: high"], "milestone": "Autumn", "due_at": "2026-10-01T07:00:00Z",
        "opened_at": "2026-03-01T10:00:00Z", "closed_at": "2026-03-02T09:00:00Z",
    }  # fmt: skip


def test_comments_are_dated_authored_notes_newest_first() -> None:
    first, second = mapped().notes
    assert (first.at, first.author, first.kind, first.text) == ("2026-03-01T12:00:00Z", "ghost", "comment", "Me too.")
    assert (second.at, second.author) == ("2026-03-01T11:00:00Z", "bram")


@pytest.mark.anyio
async def test_an_application_has_one_name_as_author_of_an_issue_and_of_a_comment() -> None:
    with GitHubServer(instance_of(0)) as server:
        source = SimulatedGitHub(server)
        issue = server.instance.create(ALL[0], "Backup failed", author="backup-watch[bot]")
        for author in ("backup-watch[bot]", "backup-watch"):
            server.instance.comment(issue, "Again.", author=author)
        async with source.open() as connector:
            [document] = [connector.map(record) for record in (await fetch(connector)).records]

    assert document.attributes["opened_by"] == "backup-watch[bot]"
    assert [note.author for note in document.notes] == ["backup-watch", "backup-watch[bot]"]


def test_a_text_that_begins_with_code_keeps_the_indentation_of_its_first_line() -> None:
    text = " \r\n    at first()\r\n    at second()\r\n\r\n"

    document = map_record(read_record(as_raw(ISSUE | {"body": text}, [{**COMMENTS[0], "body": text}])))

    assert document.text == document.notes[0].text == "    at first()\n    at second()"
    assert mapped(body=" \n ").text == ""


def test_comments_of_one_second_stand_newest_first_as_well() -> None:
    said = [{**COMMENTS[0], "body": body} for body in ("first", "second")]

    assert [note.text for note in map_record(read_record(as_raw(ISSUE, said))).notes] == ["second", "first"]


@pytest.mark.parametrize("change", [{"updated_at": "2026-04-01T00:00:00Z"}, {"reactions": {}}, {"comments": 7}])
def test_what_changes_without_content_is_left_out(change: dict[str, Any]) -> None:
    assert mapped(**change) == mapped()


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        (["priority: critical"], 1), (["Priority/High"], 2), (["prio-3"], 3), (["low priority"], 4), (["P0"], 1),
        (["p2", "blocker"], 1), (["priority"], None), (["high"], None), (["minor release"], None), (["bug"], None),
        ([], None), (["urgent"], 1), (["P4"], 4), (["priority::medium"], 3),
    ],
)  # fmt: skip
def test_the_most_urgent_priority_among_the_labels_counts(labels: list[str], level: int | None) -> None:
    assert priority_of(labels) == level


@pytest.mark.parametrize(
    ("change", "category"),
    [
        ({"type": {"name": "Task"}}, "Task"),
        ({"labels": [{"name": "kind/feature"}]}, "Feature"),
        ({"labels": ["type: outage"]}, "outage"),
        ({"labels": []}, None),
    ],
)
def test_the_kind_of_an_issue_is_its_type_or_what_a_label_says(change: dict[str, Any], category: str | None) -> None:
    assert mapped(**change).attributes.get("category") == category


@pytest.mark.parametrize("change", [{"body": None}, {"user": None}, {"milestone": None}, {"labels": None}])
def test_what_is_null_is_left_out(change: dict[str, Any]) -> None:
    assert mapped(**change).number == "octo-org/website#45"


@pytest.mark.parametrize("odd", [7, True, 1.5, "text", {"name": ["x"]}, [None, 3, {"name": {}}]])
def test_a_field_of_an_odd_shape_never_stops_an_issue(odd: Any) -> None:
    fields = ("title", "body", "labels", "assignees", "milestone", "user", "state", "state_reason", "type", "locked")

    assert mapped(**dict.fromkeys(fields, odd)).number == "octo-org/website#45"


@pytest.mark.parametrize("change", [{"number": None}, {"repository_url": None, "html_url": None}])
def test_an_issue_that_cannot_be_named_is_rejected_with_the_reason(change: dict[str, Any]) -> None:
    with pytest.raises(RecordRejected, match="no number or no repository"):
        mapped(**change)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("HTTPS://github.example.com/o/r/issues/1", "HTTPS://github.example.com/o/r/issues/1"),
        ("javascript:alert(1)//https://github.com/o/r/issues/1", None),
        (" https://x", None),
        ("", None),
    ],
)
def test_the_address_of_an_issue_is_one_that_a_browser_opens_and_does_not_run(given: str, kept: str | None) -> None:
    assert mapped(html_url=given).url == kept
