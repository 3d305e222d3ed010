"""What an issue becomes: number, title, text, notes, attributes."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.jira.mapping import map_issue, read_issue
from integrations_api.connectors.records import MappedDocument
from integrations_api.simulator.jira import SimulatorServer
from tests.connectors.copying import fetch
from tests.connectors.jira.sources import SimulatedJira, site_of

SITE = "https://site.example"


@pytest.fixture(params=["cloud", "datacenter"])
def source(request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
    with SimulatorServer(site_of(0, request.param)) as server:
        yield SimulatedJira(server)


async def mapped(source: SimulatedJira, **options: Any) -> list[MappedDocument]:
    async with source.open(**options) as connector:
        return [connector.map(record) for record in (await fetch(connector)).records]


@pytest.mark.anyio
async def test_cloud_and_data_center_map_to_the_same_document(source: SimulatedJira) -> None:
    issue_id = source.site.create(
        {
            "summary": "VPN drops",
            "description": "Since Monday.\n\n    Tunnel terminated\n\nHome office only.",
            "environment": "Laptop",
            "components": ["Remote Access VPN"],
            "labels": ["vpn"],
            "assignee": "ana.almeida",
            "business_unit": "Sales",
        },
        project="NET",
    )
    source.advance(60)
    source.site.comment(issue_id, "Try the cable.", by="ana.almeida")
    source.advance(60)
    source.site.comment(issue_id, "MTU is wrong.", by="ana.almeida", is_public=False)
    source.site.transition(issue_id, "Resolved")

    custom = ["customfield_10050", "customfield_10051", "customfield_10020"]
    [document] = await mapped(source, fields=custom)
    assert [document] == await mapped(source, fields=custom)

    assert document.number == "NET-1"
    assert document.title == "VPN drops"
    is_cloud = source.site.flavour == "cloud"
    body = "Since Monday.\n\nTunnel terminated\n\nHome office only.\n\nEnvironment: Laptop\n\nResolution: Done"
    assert document.text == body
    assert [(note.at, note.author, note.kind, note.text) for note in document.notes] == [
        ("2026-03-02T09:02:00Z", "Ana Almeida", "internal_comment" if is_cloud else "comment", "MTU is wrong."),
        ("2026-03-02T09:01:00Z", "Ana Almeida", "comment", "Try the cable."),
    ]
    attributes = dict(document.attributes)
    assert {"assigned_to_id", "caller_id", "opened_by_id"} <= set(attributes)
    assert {key: value for key, value in attributes.items() if not key.endswith("_id")} == {
        "state": "Resolved", "state_code": "5", "state_category": "Done",
        "priority": "Medium", "priority_code": "3",
        "category": "Incident", "category_code": "10001",
        "resolution": "Done", "resolution_code": "10000",
        "assignment_group": "Network and Access",
        "components": ["Remote Access VPN"], "labels": ["vpn"],
        "assigned_to": "Ana Almeida", "caller": "Integration", "opened_by": "Integration",
        "created_at": "2026-03-02T09:00:00Z", "resolved_at": "2026-03-02T09:02:00Z",
        "customfield_10050": "Sales",
        "customfield_10051": "2026-03-02T09:00:00Z",
        "customfield_10020": ["NET sprint 1"],
    }  # fmt: skip
    assert attributes["assignment_group_id"] == "NET"
    assert document.url == f"{source.server.url}/browse/NET-1"


def of(fields: dict[str, Any]) -> MappedDocument:
    return map_issue(read_issue({"id": "1", "key": "OPS-1", "fields": fields}), site=SITE)


def test_an_issue_without_id_or_key_is_rejected_with_its_reason() -> None:
    with pytest.raises(RecordRejected, match="no id"):
        read_issue({"key": "OPS-1"})
    with pytest.raises(RecordRejected, match="no key"):
        map_issue(read_issue({"id": "1"}), site=SITE)


@pytest.mark.parametrize(
    "odd",
    [None, 7, "text", [], ["x", None, {"name": 3}], {"deep": {"er": [1]}}, True, {"content": [{"type": {"a": []}}]}],
)
def test_a_field_of_an_odd_shape_never_stops_an_issue(odd: Any) -> None:
    fields = dict.fromkeys(
        ["summary", "description", "environment", "status", "priority", "issuetype", "resolution", "project",
         "components", "labels", "assignee", "reporter", "parent", "created", "updated", "duedate", "comment"],
        odd,
    )  # fmt: skip
    fields["comment"] = {"comments": [odd, {"author": odd, "body": odd, "created": odd}]}

    document = map_issue(read_issue({"id": "1", "key": "OPS-1", "fields": fields}), site=SITE, custom=["duedate"])

    assert document.number == "OPS-1"


def test_a_time_that_has_no_date_in_utc_is_none() -> None:
    fields = {"created": "0001-01-01T00:00:00.000+0200", "updated": "9999-12-31T23:59:59.000-0200"}
    record = read_issue({"id": "1", "key": "IT-1", "fields": fields})

    assert (record.created_at, record.updated_at) == (None, None)
    assert "created_at" not in map_issue(record, site=SITE).attributes


@pytest.mark.parametrize(
    "title",
    [
        "نمی‌توانم وارد شوم",  # a zero-width non-joiner within words, as Persian is written
        "പ്രിന്റര്‍ ഓഫ്‌ലൈൻ",
        "Printer 👩‍🔧 🖨️ offline",
        "two  blanks, and a soft\u00adhyphen",
    ],
)
def test_other_alphabets_and_emoji_pass_unharmed(title: str) -> None:
    assert of({"summary": title}).title == title


@pytest.mark.parametrize("title", ["a\r\nb", "a\x1b[31mb", "a\u2028b", " a\tb "])
def test_titles_stand_on_one_line(title: str) -> None:
    found = of({"summary": title}).title
    assert found.isprintable()
    assert found == found.strip()


def test_comments_of_one_second_stand_newest_first_as_well() -> None:
    created = ["2026-03-02T09:00:00.100+0000", "2026-03-02T09:00:00.700+0000", "2026-03-02T09:00:01.000+0000"]
    said = [{"body": text, "created": at} for text, at in zip(["first", "second", "third"], created, strict=True)]

    assert [note.text for note in of({"comment": {"comments": said}}).notes] == ["third", "second", "first"]


def test_fields_that_are_no_object_are_none() -> None:
    assert map_issue(read_issue({"id": "1", "key": "OPS-1", "fields": [1]}), site=SITE).title == ""


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"value": "Sales"}, "Sales"),
        ({"value": "EMEA", "child": {"value": "Lyon"}}, "EMEA / Lyon"),
        ([{"value": "a"}, {"name": "b"}, "c"], ["a", "b", "c"]),
        ([0, 2.5, None, "", False], [0, 2.5, False]),
        (" one\r\ntwo\r\n", "one\ntwo"),
        ({"displayName": "Ada", "accountId": "1"}, "Ada"),
        ({"rating": 4}, 4),
        ([{"workspaceId": "w", "id": "w:17", "objectId": "17"}], ["17"]),
        ([{"id": "ari:cloud:graph::service/a/b"}], ["ari:cloud:graph::service/a/b"]),
        (3.5, 3.5),
        (0, 0),
        (False, False),
        ({"type": "doc", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "hi"}]}]}, "hi"),
        ("word", "word"),
        ("2026-03-02T01:30:00.000-0800", "2026-03-02T09:30:00Z"),
        ("2026-03-02", "2026-03-02"),
        ([{"name": "ada", "displayName": "Ada", "key": "JIRAUSER1"}], ["Ada"]),
        ({"requestType": {"id": "12", "name": "Report an outage"}, "currentStatus": {}}, "Report an outage"),
        (
            [
                "com.atlassian.greenhopper.service.sprint.Sprint@d8d2756[id=19,rapidViewId=16,state=ACTIVE,"
                "name=19B | [w26],startDate=2026-06-22T13:39:01.220+02:00,endDate=<null>,sequence=19,goal=]",
                "com.atlassian.greenhopper.service.sprint.Sprint@5de0588[id=23,rapidViewId=4,state=ACTIVE,"
                "name=Sprint 49,goal=,startDate=<null>,endDate=<null>,sequence=23]",
            ],
            ["19B | [w26]", "Sprint 49"],
        ),
    ],
)
def test_a_custom_field_of_any_kind_becomes_a_plain_value(value: Any, kept: Any) -> None:
    record = read_issue({"id": "1", "key": "OPS-1", "fields": {"customfield_1": value}})

    assert map_issue(record, site=SITE, custom=["customfield_1"]).attributes["customfield_1"] == kept
