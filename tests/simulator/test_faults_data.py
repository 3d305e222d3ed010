"""Faults of bodies and of data."""

import json
from typing import Any

import httpx
import pytest

from integrations_api.simulator.common.clock import parse_stamp
from integrations_api.simulator.servicenow import ServiceNowInstance, Simulator
from integrations_api.simulator.servicenow.faults.bodies import SHAPES
from integrations_api.simulator.servicenow.faults.data import ODD_TEXTS
from tests.simulator.reading import INCIDENTS, get, ids, rows, scan

pytestmark = pytest.mark.anyio


def parsed(response: httpx.Response) -> Any:
    """The body, or None when it is no JSON."""
    try:
        return json.loads(response.content)
    except ValueError:
        return None


@pytest.mark.parametrize("at_row", [0, 1, 7, None])
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_cancelled_transaction_breaks_the_body_at_any_row_with_status_200(
    client: httpx.AsyncClient, simulator: Simulator, shape: str, at_row: int | None
) -> None:
    simulator.faults.add("broken_200", shape=shape, at_row=at_row)

    broken = await get(client, query="ORDERBYsys_id", limit=10)
    whole = await get(client, query="ORDERBYsys_id", limit=10)

    assert broken.status_code == 200
    assert len(whole.json()["result"]) == 10
    content = parsed(broken)
    sent = 10 if at_row is None else at_row
    if shape in ("garbage_tail", "trailing_comma"):
        assert content is None
    elif shape == "error_only":
        assert set(content) == {"error", "status"}
    elif shape == "result_is_text":
        assert isinstance(content["result"], str)
    else:
        assert content["error"]["message"] == "Transaction cancelled: maximum execution time exceeded"
        assert [row for row in content["result"] if isinstance(row, dict)] == whole.json()["result"][:sent]
        assert len(content["result"]) == sent + (shape != "error_after_rows")


async def test_the_quota_cancels_only_pages_that_are_too_large(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("quota_timeout", most_rows=20)

    assert "error" in (await get(client, limit=50)).json()
    assert set((await get(client, limit=20)).json()) == {"result"}
    assert "error" in (await get(client, limit=21)).json()


@pytest.mark.parametrize(("at_byte", "left"), [(0, 0), (1, 1), (100, 100), (-1, -1), (-2, -2), (None, None)])
async def test_json_is_cut_off_at_any_byte_and_still_200(
    client: httpx.AsyncClient, simulator: Simulator, at_byte: int | None, left: int | None
) -> None:
    whole = (await get(client, query="ORDERBYsys_id", limit=5)).content
    simulator.faults.add("truncated_json", at_byte=at_byte)

    cut = await get(client, query="ORDERBYsys_id", limit=5)

    assert cut.status_code == 200
    assert parsed(cut) is None
    assert cut.content == whole[: len(whole) // 2 if left is None else left]
    assert cut.headers["Content-Length"] == str(len(cut.content))


async def test_the_table_changes_after_every_page_of_a_scan(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    before = set(instance.sys_ids())
    simulator.faults.add("mutate_during_scan", updates=3, creates=2, deletes=1)

    found = await scan(client, page=10)

    titles = [row["short_description"] for row in instance.listing()]
    assert len(before - set(instance.sys_ids())) > 3
    assert sum("Appeared during the scan" in title for title in titles) > 10
    assert sum("Changed during the scan" in title for title in titles) > 10
    assert len(set(ids(found))) == len(found)


async def test_late_rows_appear_with_stamps_of_the_past_behind_the_cursor(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    fault = simulator.faults.add("late_rows", count=10, lag=120, skip=2)

    found = await scan(client, page=10)

    late = [row for row in instance.listing() if "Committed late" in row["short_description"]]
    assert len(late) == 10
    assert {instance.clock.now() - parse_stamp(row["sys_updated_on"]) for row in late} == {120}
    behind = {sys_id for sys_id in ids(late) if sys_id.startswith("0000")}
    assert len(behind) == 5
    assert not behind & set(ids(found))
    assert fault.hits == 1


async def test_rows_of_one_second_come_in_another_order_every_time(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("same_second_bulk", count=60)

    first = ids(await rows(client, query="ORDERBYsys_updated_on"))
    second = ids(await rows(client, query="ORDERBYsys_updated_on"))

    assert {row["sys_updated_on"] for row in instance.listing()} == {"2026-03-02 09:00:00"}
    assert first != second
    assert sorted(first) == sorted(second)
    assert ids(await scan(client)) == instance.sys_ids()


async def test_hidden_rows_make_pages_short_and_some_empty_with_more_behind(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("hidden_rows", percent=20, run=25, run_at=0.3)

    pages = [await rows(client, query="ORDERBYsys_id", limit=10, offset=start) for start in range(0, 60, 10)]

    sizes = [len(page) for page in pages]
    assert 0 in sizes[:-1]
    assert sizes[-1] > 0
    assert sum(sizes) < 40
    assert (await get(client, limit=1)).headers["X-Total-Count"] == "60"
    simulator.faults.clear()
    assert len(await rows(client)) == 60


@pytest.mark.parametrize(("how", "expected"), [("empty", ""), ("missing", None)])
async def test_hidden_fields_come_empty_or_not_at_all(
    client: httpx.AsyncClient, simulator: Simulator, how: str, expected: str | None
) -> None:
    simulator.faults.add("hidden_fields", fields="description+work_notes+state", how=how)

    listed = await rows(client, display_value="true", fields="number,description,work_notes,state")

    assert {row.get("description") for row in listed} == {expected}
    assert {row.get("work_notes") for row in listed} == {expected}
    assert all(row["number"] for row in listed)


async def test_hidden_fields_may_be_answered_with_403(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("hidden_fields", fields="description", how="forbidden")

    assert (await get(client, fields="number,description")).status_code == 403
    assert (await get(client, query="descriptionISNOTEMPTY")).status_code == 403
    assert (await get(client, fields="number")).status_code == 200


async def test_rows_whose_fields_are_all_hidden_come_as_empty_objects(
    client: httpx.AsyncClient, simulator: Simulator
) -> None:
    simulator.faults.add("empty_rows", every=4)

    listed = await rows(client, query="ORDERBYsys_id")

    assert [not row for row in listed] == [position % 4 == 0 for position in range(60)]


async def test_ids_in_capitals_keep_their_place_and_bounds_do_not_care(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    before = instance.sys_ids()
    simulator.faults.add("capital_ids", every=2)

    found = ids(await scan(client, page=7))

    assert [sys_id.lower() for sys_id in found] == before
    assert sum(sys_id != sys_id.lower() for sys_id in found) == 30
    assert len(await rows(client, query=f"sys_id>{found[9].upper()}^ORDERBYsys_id")) == 50


async def test_two_incidents_share_a_number(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("duplicate_number", pairs=2)

    numbers = [row["number"] for row in instance.listing()]

    assert len(set(numbers)) == 58
    assert len(await rows(client, query=f"number={numbers[0]}")) == 2


async def test_the_delete_log_may_speak_of_the_living(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("stale_delete_log", count=2)
    instance.grant("delete_log_reader")

    logged = await rows(client, "/api/now/table/sys_audit_delete", query="tablename=incident")

    assert {line["documentkey"] for line in logged} == set(instance.sys_ids()[:2])


async def test_a_description_may_be_huge(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("huge_description", megabytes=5)

    lengths = [len(row["description"]) for row in await rows(client, fields="sys_id,description")]

    assert sorted(lengths)[-1] == 5_000_000
    assert sorted(lengths)[-2] < 2_000


async def test_odd_texts_stand_in_every_text_field_and_travel_as_escapes(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("odd_text", every=1)

    response = await get(client, query="ORDERBYsys_id", display_value="all")

    listed = json.loads(response.content)["result"]
    seen = {row["short_description"]["value"] for row in listed}
    assert seen == set(ODD_TEXTS)
    assert b"\\ud83d here" in response.content
    assert b"\\u0000" in response.content
    response.content.decode("utf-8", "strict")
    for row in listed[:10]:
        assert row["description"]["value"] in ODD_TEXTS
        assert any(text in row["work_notes"]["display_value"] for text in ODD_TEXTS)
    assert [row["short_description"] for row in instance.listing()] == [
        row["short_description"]["value"] for row in listed
    ]


@pytest.mark.parametrize("display_value", ["false", "all"])
async def test_odd_fields_are_null_missing_or_of_another_type_alike_every_time(
    client: httpx.AsyncClient, simulator: Simulator, display_value: str
) -> None:
    whole = await rows(client, query="ORDERBYsys_id", display_value=display_value, exclude_reference_link="true")
    simulator.faults.add("odd_fields", every=2)

    odd = await rows(client, query="ORDERBYsys_id", display_value=display_value, exclude_reference_link="true")
    again = await rows(client, query="ORDERBYsys_id", display_value=display_value, exclude_reference_link="true")

    assert odd == again
    assert [one != other for one, other in zip(whole, odd, strict=True)] == [n % 2 == 0 for n in range(60)]
    assert ids(odd) == ids(whole)
    kinds = {type(value) for row in odd for value in row.values()}
    assert {type(None), int, list, dict, bool, float} <= kinds
    assert any(len(row) < len(whole[0]) for row in odd)


@pytest.mark.parametrize("field", ["number", "sys_id"])
@pytest.mark.parametrize("how", ["missing", "null", "empty"])
async def test_a_record_may_lack_its_number_or_its_id(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance, field: str, how: str
) -> None:
    sys_id = instance.sys_ids()[4]
    simulator.faults.add("unmappable", field=field, how=how, sys_ids=[sys_id])

    listed = await rows(client, query="ORDERBYsys_id")
    single = (await get(client, f"{INCIDENTS}/{sys_id}")).json()["result"]

    assert [position for position, row in enumerate(listed) if not row.get(field)] == [4]
    assert not single.get(field)
    assert (field in single) == (how != "missing")
