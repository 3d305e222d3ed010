"""The Table API's facts: pages, counts, links, errors, versions."""

import re

import httpx
import pytest

from integrations_api.simulator.servicenow import ServiceNowInstance, Simulator
from tests.simulator.reading import AUTH, INCIDENTS, get, ids, rows, scan

pytestmark = pytest.mark.anyio


async def test_a_keyset_scan_finds_every_incident_once_in_the_order_of_ids(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    assert ids(await scan(client, page=7)) == instance.sys_ids()


async def test_offset_pages_cover_the_table_too(client: httpx.AsyncClient, instance: ServiceNowInstance) -> None:
    found = [
        row for start in range(0, 70, 10) for row in await rows(client, query="ORDERBYnumber", offset=start, limit=10)
    ]

    assert [row["number"] for row in found] == [f"INC{n:07d}" for n in range(10_001, 10_061)]


async def test_all_values_are_text_and_missing_ones_are_empty(client: httpx.AsyncClient) -> None:
    [row] = await rows(client, limit=1, exclude_reference_link="true")

    assert all(isinstance(value, str) for value in row.values())
    assert row["parent_incident"] == ""
    assert row["active"] in ("true", "false")


async def test_counts_before_the_limit_and_not_at_all_when_asked_not_to(client: httpx.AsyncClient) -> None:
    counted = await get(client, query="active=false", limit=1)
    uncounted = await get(client, query="active=false", limit=1, no_count="true")

    assert int(counted.headers["X-Total-Count"]) > 30
    assert "X-Total-Count" not in uncounted.headers


async def test_the_limit_is_applied_before_acls_so_pages_are_short_and_counts_too_high(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    order = instance.sys_ids()
    instance.hide([*order[:10], order[15]])

    first = await get(client, query="ORDERBYsys_id", limit=10)
    second = await get(client, query=f"sys_id>{order[9]}^ORDERBYsys_id", limit=10)

    assert first.json()["result"] == []
    assert first.headers["X-Total-Count"] == "60"
    assert len(second.json()["result"]) == 9


def link_parts(response: httpx.Response) -> dict[str, str]:
    return {name: url for url, name in re.findall(r'<([^>]*)>;rel="(\w+)"', response.headers["Link"])}


async def test_the_link_header_on_the_first_page_has_a_prev_that_leads_nowhere(client: httpx.AsyncClient) -> None:
    response = await get(client, query="ORDERBYsys_id", limit=25)

    parts = link_parts(response)
    assert list(parts) == ["first", "prev", "next", "last"]
    assert ">;rel=" in response.headers["Link"]
    assert ", " not in response.headers["Link"]
    assert "sysparm_offset=-1" in parts["prev"]
    assert "sysparm_offset=25" in parts["next"]
    assert "sysparm_offset=50" in parts["last"]
    assert all("sysparm_query=ORDERBYsys_id" in url for url in parts.values())


async def test_the_last_page_has_no_next_and_following_links_reaches_it(client: httpx.AsyncClient) -> None:
    response = await get(client, query="ORDERBYsys_id", limit=25)
    pages = 1
    while "next" in link_parts(response):
        response = await client.get(link_parts(response)["next"])
        pages += 1

    assert pages == 3
    assert "sysparm_offset=25" in link_parts(response)["prev"]


async def test_there_is_no_link_header_for_one_page_nor_when_suppressed(client: httpx.AsyncClient) -> None:
    assert "Link" not in (await get(client, limit=100)).headers
    assert "Link" not in (await get(client, limit=10, suppress_pagination_header="true")).headers


async def test_unknown_fields_are_ignored_and_dotted_ones_are_followed(client: httpx.AsyncClient) -> None:
    [row] = await rows(client, query="assigned_toISNOTEMPTY", fields="number,u_nothing,assigned_to.email", limit=1)

    assert set(row) == {"number", "assigned_to.email"}
    assert row["assigned_to.email"].endswith("@example.com")


async def test_name_value_pairs_are_a_query_when_there_is_none(client: httpx.AsyncClient) -> None:
    pairs = await client.get(INCIDENTS, params={"number": "INC0010003"})

    assert [row["number"] for row in pairs.json()["result"]] == ["INC0010003"]


@pytest.mark.parametrize("limit", ["0", "-1", "many", ""])
async def test_a_limit_that_is_no_positive_integer_is_refused(client: httpx.AsyncClient, limit: str) -> None:
    response = await get(client, limit=limit)

    assert response.status_code == 400
    assert response.json() == {
        "error": {
            "message": "Invalid value given for sysparm_limit",
            "detail": "sysparm_limit value must be a positive integer",
        },
        "status": "failure",
    }


async def test_a_negative_offset_is_refused(client: httpx.AsyncClient) -> None:
    assert (await get(client, offset=-1)).status_code == 400


async def test_version_1_answers_404_when_no_row_matches_and_version_2_an_empty_list(client: httpx.AsyncClient) -> None:
    old = await get(client, "/api/now/v1/table/incident", query="number=INC1")
    new = await get(client, "/api/now/v2/table/incident", query="number=INC1")
    latest = await get(client, query="number=INC1")

    assert (old.status_code, old.json()["error"]["message"]) == (404, "No Record found")
    assert (new.status_code, new.json()) == (200, {"result": []})
    assert (latest.status_code, latest.json()) == (200, {"result": []})


async def test_a_single_row_is_an_object_and_404_is_ambiguous(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    first, second = instance.sys_ids()[:2]
    instance.hide([second])

    seen = await get(client, f"{INCIDENTS}/{first}")
    hidden = await get(client, f"{INCIDENTS}/{second}")
    missing = await get(client, f"{INCIDENTS}/{'0' * 32}")

    assert seen.json()["result"]["sys_id"] == first
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json() == missing.json()


async def test_stats_count_and_group_whoever_may_see_the_rows(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    instance.hide(instance.sys_ids()[:5])

    count = await get(client, "/api/now/stats/incident", count="true", query="sys_created_on<=2099-01-01 00:00:00")
    grouped = await get(client, "/api/now/stats/incident", count="true", group_by="category")
    instance.aggregates_count_hidden_rows = False
    careful = await get(client, "/api/now/stats/incident", count="true")

    assert count.json() == {"result": {"stats": {"count": "60"}}}
    assert sum(int(group["stats"]["count"]) for group in grouped.json()["result"]) == 60
    assert careful.json()["result"]["stats"]["count"] == "55"


async def test_unknown_tables_paths_and_methods_are_errors_in_servicenows_shape(client: httpx.AsyncClient) -> None:
    table = await get(client, "/api/now/table/incidents")
    path = await get(client, "/api/now/nothing")
    version = await get(client, "/api/now/v2/stats/incident")
    method = await client.post(INCIDENTS, json={})

    assert (table.status_code, table.json()["error"]["message"]) == (400, "Invalid table incidents")
    assert path.status_code == version.status_code == 400
    assert method.status_code == 405
    assert all(answer.json()["status"] == "failure" for answer in (table, path, method))


async def test_what_the_simulator_does_not_implement_is_501_so_that_tests_notice(client: httpx.AsyncClient) -> None:
    query = await get(client, query="sys_created_onBETWEENa@b")
    aggregate = await get(client, "/api/now/stats/incident", avg_fields="reopen_count")

    assert query.status_code == aggregate.status_code == 501


async def test_the_accept_header_is_needed(simulator: Simulator) -> None:
    transport = httpx.ASGITransport(app=simulator.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://instance", auth=AUTH) as client:
        del client.headers["accept"]
        missing = await client.get(INCIDENTS)
        foreign = await client.get(INCIDENTS, headers={"Accept": "text/csv"})

    assert (missing.status_code, foreign.status_code) == (400, 406)


async def test_the_date_is_the_instances_own(client: httpx.AsyncClient) -> None:
    response = await get(client, limit=1)

    assert response.headers["Date"] == "Mon, 02 Mar 2026 09:00:00 GMT"
    assert response.headers["X-Is-Logged-In"] == "true"


async def test_head_answers_the_headers_of_get(client: httpx.AsyncClient) -> None:
    response = await client.head(INCIDENTS, params={"sysparm_limit": "1"})

    assert response.headers["X-Total-Count"] == "60"
    assert response.content == b""


async def test_a_change_shows_at_once_however_often_the_row_was_read_before(
    client: httpx.AsyncClient, instance: ServiceNowInstance
) -> None:
    sys_id = instance.sys_ids()[3]
    await scan(client)

    instance.update(sys_id, {"short_description": "Changed"})
    changed = [row for row in await scan(client) if row["short_description"] == "Changed"]

    assert ids(changed) == [sys_id]
