"""Display values, references, journals and choices on the wire."""

import httpx
import pytest

from integrations_api.simulator.company.people import AGENTS
from integrations_api.simulator.servicenow import ServiceNowInstance
from tests.simulator.reading import INCIDENTS, get, rows

pytestmark = pytest.mark.anyio

BUSY = "assigned_toISNOTEMPTY^ORDERBYnumber"


async def test_a_reference_is_a_link_and_a_value_unless_links_are_excluded(client: httpx.AsyncClient) -> None:
    [linked] = await rows(client, query=BUSY, limit=1)
    [bare] = await rows(client, query=BUSY, limit=1, exclude_reference_link="true")

    sys_id = bare["assigned_to"]
    assert linked["assigned_to"] == {"link": f"http://instance/api/now/table/sys_user/{sys_id}", "value": sys_id}
    assert linked["parent_incident"] == ""
    [user] = await rows(client, "/api/now/table/sys_user", query=f"sys_id={sys_id}")
    assert user["email"].endswith("@example.com")


async def test_display_values_replace_values_or_stand_beside_them(client: httpx.AsyncClient) -> None:
    [shown] = await rows(client, query="priority=4^ORDERBYnumber", limit=1, display_value="true")
    [both] = await rows(client, query="priority=4^ORDERBYnumber", limit=1, display_value="all")
    [plain] = await rows(
        client, query="priority=4^ORDERBYnumber", limit=1, display_value="all", exclude_reference_link="true"
    )

    assert shown["priority"] == "4 - Low"
    assert both["priority"] == {"display_value": "4 - Low", "value": "4"}
    assert set(shown["caller_id"]) == {"display_value", "link"}
    assert set(both["caller_id"]) == {"display_value", "value", "link"}
    assert set(plain["caller_id"]) == {"display_value", "value"}
    assert plain["caller_id"]["display_value"] == shown["caller_id"]["display_value"]
    assert both["parent_incident"] == {"display_value": "", "value": ""}


async def test_a_reference_may_hold_what_is_no_id(client: httpx.AsyncClient) -> None:
    [row] = await rows(client, limit=1, display_value="all")

    assert row["sys_domain"] == {
        "display_value": "global",
        "value": "global",
        "link": "http://instance/api/now/table/sys_user_group/global",
    }


@pytest.mark.parametrize(
    ("zone", "date_format", "winter", "summer"),
    [
        ("UTC", "yyyy-MM-dd HH:mm:ss", "2026-01-15 12:00:00", "2026-07-15 12:00:00"),
        ("America/Los_Angeles", "yyyy-MM-dd HH:mm:ss", "2026-01-15 04:00:00", "2026-07-15 05:00:00"),
        ("Asia/Kolkata", "yyyy-MM-dd HH:mm:ss", "2026-01-15 17:30:00", "2026-07-15 17:30:00"),
        ("America/New_York", "MM-dd-yyyy hh:mm:ss a", "01-15-2026 07:00:00 AM", "07-15-2026 08:00:00 AM"),
    ],
)
async def test_times_are_displayed_in_the_sessions_zone_and_format_and_valued_in_utc(
    client: httpx.AsyncClient, instance: ServiceNowInstance, zone: str, date_format: str, winter: str, summer: str
) -> None:
    user = instance.door.users["integration"]
    user.time_zone, user.date_format = zone, date_format
    sys_id = instance.create({"opened_at": "2026-01-15 12:00:00", "due_date": "2026-07-15 12:00:00"})

    row = (await get(client, f"{INCIDENTS}/{sys_id}", display_value="all")).json()["result"]

    assert row["opened_at"] == {"display_value": winter, "value": "2026-01-15 12:00:00"}
    assert row["due_date"] == {"display_value": summer, "value": "2026-07-15 12:00:00"}


async def test_journals_are_empty_raw_and_one_text_newest_first_when_displayed(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    instance.door.users["integration"].time_zone = "UTC"
    sys_id = instance.create()
    instance.add_journal(sys_id, "work_notes", "First look", by=AGENTS[0]["user_name"], at="2026-03-01 10:00:00")
    instance.add_journal(sys_id, "comments", "Hello\nthere", by=AGENTS[1]["user_name"], at="2026-03-01 11:00:00")
    instance.add_journal(sys_id, "work_notes", "Second look", by=AGENTS[0]["user_name"], at="2026-03-01 12:00:00")

    raw = (await get(client, f"{INCIDENTS}/{sys_id}")).json()["result"]
    shown = (await get(client, f"{INCIDENTS}/{sys_id}", display_value="true")).json()["result"]
    both = (await get(client, f"{INCIDENTS}/{sys_id}", display_value="all")).json()["result"]

    first, second = AGENTS[0]["name"], AGENTS[1]["name"]
    assert raw["work_notes"] == raw["comments_and_work_notes"] == ""
    assert shown["work_notes"] == (
        f"2026-03-01 12:00:00 - {first} (Work notes)\nSecond look\n\n"
        f"2026-03-01 10:00:00 - {first} (Work notes)\nFirst look\n\n"
    )
    assert both["comments"] == {
        "display_value": f"2026-03-01 11:00:00 - {second} (Additional comments)\nHello\nthere\n\n",
        "value": "",
    }
    assert [part.split("(")[1][:4] for part in shown["comments_and_work_notes"].split("\n\n")[:-1]] == [
        "Work",
        "Addi",
        "Work",
    ]


async def test_the_journal_table_has_one_row_per_entry_and_an_acl_of_its_own(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    sys_id = next(sys_id for sys_id in instance.sys_ids() if len(instance.journal(sys_id)) > 2)
    path, query = (
        "/api/now/table/sys_journal_field",
        f"name=incident^element_idIN{sys_id},x^elementINcomments,work_notes",
    )

    blocked = await get(client, path, query=query)
    instance.grant("journal_reader")
    entries = await rows(client, path, query=f"{query}^ORDERBYsys_created_on")

    assert (blocked.status_code, blocked.json()) == (200, {"result": []})
    assert [entry["value"] for entry in entries] == [entry.text for entry in instance.journal(sys_id)]
    assert {entry["element_id"] for entry in entries} == {sys_id}
    everything = await rows(client, path, query="nameISNOTEMPTY")
    assert len(everything) == sum(len(instance.journal(each)) for each in instance.sys_ids())


async def test_choices_can_be_read_as_a_table(client: httpx.AsyncClient) -> None:
    choices = await rows(client, "/api/now/table/sys_choice", query="name=incident^element=state^ORDERBYsequence")

    assert {choice["value"]: choice["label"] for choice in choices}["3"] == "On Hold"


async def test_a_new_note_shows_in_the_journal_table_at_once(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    instance.grant("journal_reader")
    sys_id = instance.create()
    path, query = "/api/now/table/sys_journal_field", f"element_id={sys_id}^ORDERBYsys_created_on"
    before = await rows(client, path, query=query)

    instance.work_note(sys_id, "New")

    assert (before, [row["value"] for row in await rows(client, path, query=query)]) == ([], ["New"])


async def named(client: httpx.AsyncClient, group: str) -> list[tuple[str, str]]:
    """Number and displayed group of the incidents of a group."""
    query = f"assignment_group.name={group}^ORDERBYnumber"
    listed = await rows(client, query=query, display_value="true", exclude_reference_link="true")
    return [(row["number"], row["assignment_group"]) for row in listed]


async def test_a_renamed_group_shows_in_the_incidents_that_refer_to_it(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    before = await named(client, "Network")
    group = next(row for row in instance.tables["sys_user_group"].rows.values() if row.get("name") == "Network")

    instance.update(group.sys_id, {"name": "Nets"}, table="sys_user_group")

    assert before
    assert await named(client, "Nets") == [(number, "Nets") for number, _ in before]
    assert await named(client, "Network") == []
