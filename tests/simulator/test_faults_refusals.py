"""Faults that answer in place of the table, and faults of time and of the query."""

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from integrations_api.simulator.servicenow import (
    FAULTS,
    AfterPage,
    ManualClock,
    ServiceNowInstance,
    Simulator,
    make_fault,
    parse_fault,
)
from tests.simulator.gate import Gate, first_done
from tests.simulator.reading import AUTH, get, ids, rows, scan

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("seconds", {"retry-after", "x-ratelimit-limit", "x-ratelimit-reset", "x-ratelimit-rule"}),
        ("date", {"retry-after", "x-ratelimit-limit", "x-ratelimit-reset", "x-ratelimit-rule"}),
        ("reset", {"x-ratelimit-limit", "x-ratelimit-reset", "x-ratelimit-rule"}),
        ("bare", set()),
    ],
)
async def test_429_comes_in_four_kinds_as_often_as_asked(
    client: httpx.AsyncClient, simulator: Simulator, kind: str, headers: set[str]
) -> None:
    simulator.faults.add("rate_limited", kind=kind, wait=30, times=10, skip=1)

    answers = [await get(client, limit=1) for _ in range(12)]

    assert [answer.status_code for answer in answers] == [200] + [429] * 10 + [200]
    limited = {name for name in answers[1].headers if name == "retry-after" or name.startswith("x-ratelimit")}
    assert limited == headers
    assert answers[1].json()["error"]["message"] == "Rate limit exceeded"


async def test_retry_after_as_a_date_is_by_the_instances_clock(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("rate_limited", kind="date", wait=30)

    answer = await get(client)

    wait = parsedate_to_datetime(answer.headers["Retry-After"]) - parsedate_to_datetime(answer.headers["Date"])
    assert wait.total_seconds() == 30


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize(("form", "kind"), [("json", "application/json"), ("html", "text/html")])
async def test_server_errors_come_as_json_or_as_a_page(
    client: httpx.AsyncClient, simulator: Simulator, status: int, form: str, kind: str
) -> None:
    simulator.faults.add("server_error", status=status, form=form)

    first, second = await get(client), await get(client)

    assert (first.status_code, second.status_code) == (status, 200)
    assert first.headers["Content-Type"].startswith(kind)


async def test_a_sleeping_instance_answers_a_page_or_a_redirect_until_it_is_woken(
    client: httpx.AsyncClient, simulator: Simulator
) -> None:
    simulator.faults.add("hibernating")
    page = await get(client)
    simulator.faults.clear()
    simulator.faults.add("hibernating_redirect")
    redirect = await get(client)
    simulator.faults.clear("hibernating_redirect")

    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html;charset=UTF-8")
    assert "Your instance is hibernating" in page.text
    assert (redirect.status_code, redirect.next_request is not None) == (302, True)
    assert redirect.headers["Location"].startswith("https://developer.servicenow.com/")
    assert (await get(client)).status_code == 200


async def test_a_redirect_a_dropped_request_and_a_refused_table(
    client: httpx.AsyncClient, simulator: Simulator
) -> None:
    simulator.faults.add("redirect", location="https://elsewhere.example/x", status=307)
    redirect = await get(client)
    simulator.faults.add("accepted_202")
    dropped = await get(client)
    simulator.faults.add("forbidden")
    refused = await get(client)

    assert (redirect.status_code, redirect.headers["Location"]) == (307, "https://elsewhere.example/x")
    assert (dropped.status_code, dropped.content) == (202, b"")
    assert refused.status_code == 403


async def test_too_many_at_once_get_a_bare_429(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("too_many_at_once", most=3)
    gate = Gate()
    simulator.faults.add(gate)

    tasks = [asyncio.create_task(get(client, limit=1)) for _ in range(8)]
    await first_done(tasks, 5)
    gate.open()
    together = await asyncio.gather(*tasks)

    assert sorted(answer.status_code for answer in together) == [200] * 3 + [429] * 5
    assert (await get(client, limit=1)).status_code == 200


async def test_a_rate_rule_tells_its_limit_on_every_answer_and_opens_again_with_the_hour(
    client: httpx.AsyncClient, simulator: Simulator, clock: ManualClock
) -> None:
    clock.advance(1800)
    simulator.faults.add("rate_rule", per_hour=2)

    answers = [await get(client, limit=1) for _ in range(4)]
    clock.advance(1800)
    later = await get(client, limit=1)

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"2"}
    assert answers[2].headers["Retry-After"] == "1800"
    assert later.status_code == 200


async def test_a_test_may_hook_in_after_every_page(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    pages: list[int] = []
    simulator.faults.add(AfterPage(pages.append))

    await scan(client, page=20)
    await get(client, query="ORDERBYsys_id", limit=1)

    assert pages == [1, 2, 3, 4]


async def test_a_token_expires_in_the_middle(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("token_expiry", skip=1)
    form = {
        "grant_type": "password",
        "client_id": "simulator-client",
        "client_secret": "simulator-client-secret",
        "username": AUTH[0],
        "password": AUTH[1],
    }

    async def ask(token: str) -> int:
        return (
            await client.get("/api/now/table/incident", auth=None, headers={"Authorization": f"Bearer {token}"})
        ).status_code

    client.auth = None  # type: ignore[assignment]
    token = (await client.post("/oauth_token.do", data=form)).json()["access_token"]
    before, after = await ask(token), await ask(token)
    renewed = (await client.post("/oauth_token.do", data=form)).json()["access_token"]

    assert (before, after) == (200, 401)
    assert await ask(renewed) == 200


@pytest.mark.parametrize("seconds", [900, -900])
async def test_a_skewed_clock_shows_in_the_date_and_in_new_records(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance, seconds: int
) -> None:
    honest = parsedate_to_datetime((await get(client)).headers["Date"])
    simulator.faults.add("clock_skew", seconds=seconds)
    skewed = parsedate_to_datetime((await get(client)).headers["Date"])
    created = instance.row(instance.create()).sys_created_on
    simulator.faults.clear()

    assert (skewed - honest).total_seconds() == seconds
    assert created == ("2026-03-02 09:15:00" if seconds > 0 else "2026-03-02 08:45:00")
    assert parsedate_to_datetime((await get(client)).headers["Date"]) == honest


async def test_jumping_clocks_answer_another_date_each_time(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("clock_jumps")

    dates = [(await get(client, limit=1)).headers["Date"][17:25] for _ in range(4)]

    assert dates == ["09:15:00", "08:45:00", "09:01:00", "09:00:00"]


async def test_a_slow_first_answer_was_read_before_changes_that_its_date_comes_after(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("slow_first_answer", clock_seconds=30, updates=3)

    response = await get(client, query="ORDERBYDESCsys_updated_on", limit=1)

    changed = [row for row in instance.listing() if "slow first" in row["short_description"]]
    assert response.headers["Date"] == "Mon, 02 Mar 2026 09:00:30 GMT"
    assert [row["sys_updated_on"] for row in changed] == ["2026-03-02 09:00:15"] * 3
    assert response.json()["result"][0]["sys_updated_on"] < "2026-03-02"


@pytest.mark.parametrize(
    ("at", "literal"), [("2026-01-15 12:00:00", "2026-01-15 07:00:00"), ("2026-07-15 12:00:00", "2026-07-15 08:00:00")]
)
async def test_literals_may_be_read_in_a_zone_with_daylight_saving(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance, at: str, literal: str
) -> None:
    sys_id = instance.create(at=at)
    assert ids(await rows(client, query=f"sys_updated_on={at}")) == [sys_id]

    simulator.faults.add("literal_in_session_zone", zone="America/New_York")

    assert await rows(client, query=f"sys_updated_on={at}") == []
    assert ids(await rows(client, query=f"sys_updated_on={literal}")) == [sys_id]


async def test_the_sessions_zone_is_the_default_for_literals(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    sys_id = instance.create(at="2026-01-15 12:00:00")
    simulator.faults.add("literal_in_session_zone")

    assert ids(await rows(client, query="sys_updated_on=2026-01-15 04:00:00")) == [sys_id]


async def test_an_ignored_cursor_brings_the_same_page_again(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("ignored_term", column="sys_id", operator=">")

    first = await rows(client, query="ORDERBYsys_id", limit=5)
    second = await rows(client, query=f"sys_id>{first[-1]['sys_id']}^ORDERBYsys_id", limit=5)

    assert first == second


async def test_an_ignored_filter_loads_the_wrong_set(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("ignored_term", column="active")

    assert {row["active"] for row in await rows(client, query="active=true^ORDERBYsys_id")} == {"true", "false"}


async def test_a_dropped_sort_gives_another_order(
    client: httpx.AsyncClient, simulator: Simulator, instance: ServiceNowInstance
) -> None:
    simulator.faults.add("query_acl_drops_sort")

    found = ids(await rows(client, query="ORDERBYsys_id"))

    assert found != instance.sys_ids()
    assert sorted(found) == instance.sys_ids()


async def test_query_range_is_dropped_or_refused(client: httpx.AsyncClient, simulator: Simulator) -> None:
    simulator.faults.add("query_range", column="sys_id", how="refuse")
    refused = await get(client, query="sys_id>8^ORDERBYsys_id")
    allowed = await get(client, query="active=true")
    simulator.faults.clear()
    simulator.faults.add("query_range", column="sys_id", how="drop")
    dropped = await rows(client, query="sys_id>8^ORDERBYsys_id")

    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert "query_range" in refused.json()["error"]["detail"]
    assert len(dropped) == 60


async def test_faults_combine(client: httpx.AsyncClient, simulator: Simulator, clock: ManualClock) -> None:
    simulator.faults.add("clock_skew", seconds=60)
    simulator.faults.add("hidden_rows", percent=50)
    simulator.faults.add("server_error", skip=2)

    found = await rows(client, query="ORDERBYsys_id", limit=60)

    assert 10 < len(found) < 50
    await get(client)
    assert (await get(client)).status_code == 500
    assert clock.offset == 60


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency", {"milliseconds": 50, "times": None}),
        ("rate_limited:kind=bare,times=3,skip=2", {"kind": "bare", "times": 3, "skip": 2}),
        ("slow_first_answer:seconds=0.5", {"seconds": 0.5}),
        ("broken_200:at_row=none,on=any", {"at_row": None, "on": "any"}),
    ],
)
def test_the_command_line_names_faults_with_parameters(text: str, expected: dict[str, Any]) -> None:
    fault = parse_fault(text)

    assert {name: getattr(fault, name) for name in expected} == expected


@pytest.mark.parametrize("text", ["unknown", "latency:speed=3", "broken_200:shape=round"])
def test_a_fault_that_does_not_exist_is_named_with_what_does(text: str) -> None:
    with pytest.raises(ValueError, match=r"Known|Parameters"):
        parse_fault(text)


def test_every_fault_can_be_made_without_parameters_and_says_what_it_does() -> None:
    for name, fault in FAULTS.items():
        assert make_fault(name).name == name
        assert fault.__doc__
