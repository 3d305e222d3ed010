"""Each thing a ServiceNow can do to a reader; afterwards the copy equals the table, document by document."""

import itertools
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from integrations_api.connectors.errors import ConnectorError, RateLimited, Refused, Retryable, Unreachable
from integrations_api.connectors.records import FetchRequest
from integrations_api.connectors.retry import FIRST_CONTACT
from integrations_api.connectors.servicenow import gone
from integrations_api.connectors.text import one_line, storable
from integrations_api.egress.guard import EgressPolicy
from integrations_api.simulator.common.clock import parse_stamp
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow import ServiceNowInstance, SimulatorServer
from integrations_api.simulator.servicenow.faults import Fault
from integrations_api.simulator.servicenow.faults.bodies import SHAPES, TooMuchAlone
from integrations_api.simulator.servicenow.messages import Call
from integrations_api.simulator.servicenow.table import Row
from integrations_api.simulator.servicenow.table_api import TableApi
from tests.connectors.copying import Copy, Ear, fetch
from tests.connectors.servicenow.sources import SimulatedServiceNow, instance_of
from tests.support.long import FULL, long

pytestmark = pytest.mark.anyio

COUNT = 130


@pytest.fixture
def source() -> Iterator[SimulatedServiceNow]:
    with SimulatorServer(instance_of(COUNT)) as server:
        yield SimulatedServiceNow(server)


def copy_of(source: SimulatedServiceNow, **options: Any) -> Copy:
    return Copy(lambda: source.open(**({"page_size": 20, "budget": 600} | options)))


def assert_equal(copy: Copy, source: SimulatedServiceNow) -> None:
    """The copy holds what the user may see of the table, as it is now."""
    hidden = source.instance.hidden | source.instance.blank
    table = {row["sys_id"]: row for row in source.instance.listing() if row["sys_id"].casefold() not in hidden}
    assert set(copy.documents) == set(table)
    for sys_id, row in table.items():
        document, stamp = copy.documents[sys_id], copy.stamps[sys_id]
        assert document.title == one_line(storable(row["short_description"]))
        assert stamp is not None
        assert stamp.strftime("%Y-%m-%d %H:%M:%S") == row["sys_updated_on"]


async def test_a_source_that_is_out_of_reach_when_a_run_begins_fails_it_before_the_retry_budget_is_spent(
    source: SimulatedServiceNow,
) -> None:
    async with source.open(url="http://127.0.0.1:9", budget=600) as connector:
        with pytest.raises(Unreachable, match="Connection refused"):
            await connector.start(FetchRequest("full", None))
    assert sum(source.time.slept) == pytest.approx(FIRST_CONTACT, abs=1)


async def survive(source: SimulatedServiceNow, copy: Copy) -> None:
    """A full sync with the fault in force, then one ordinary sync without it."""
    await copy.sync("full")
    source.server.faults.clear()
    source.advance(600)
    await copy.sync()
    assert_equal(copy, source)


PASSING = [
    ("rate_limited", {"kind": "seconds", "wait": 30, "times": 10}),
    ("rate_limited", {"kind": "date", "wait": 30, "times": 2}),
    ("rate_limited", {"kind": "reset", "wait": 30, "times": 2}),
    ("rate_limited", {"kind": "bare", "times": 10}),
    ("rate_limited", {"kind": "seconds", "wait": 5, "times": 3, "on": "any"}),
    ("too_many_at_once", {"most": 2}),
    ("server_error", {"status": 500, "times": 3}),
    ("server_error", {"status": 502, "form": "html", "times": 3}),
    ("server_error", {"status": 503, "times": 3, "on": "any"}),
    ("accepted_202", {"times": 3}),
    ("reset_mid_body", {"share": 0.5, "times": 2}),
    ("reset_mid_body", {"at_byte": 0, "times": 1}),
    ("reset_mid_body", {"at_byte": 1, "times": 1}),
    ("truncated_json", {"at_byte": 0}),
    ("truncated_json", {"at_byte": 11}),
    ("truncated_json", {"at_byte": -1}),
    ("truncated_json", {"at_byte": -2}),
    ("truncated_json", {"share": 0.5, "times": 4}),
    ("truncated_json", {"on": "any", "share": 0.9, "times": 3}),
    ("quota_timeout", {"most_rows": 3}),
    ("quota_timeout", {"most_rows": 5, "shape": "garbage_tail"}),
    ("fewer_rows", {"most": 7}),
    ("mutate_during_scan", {"updates": 5, "creates": 2, "deletes": 2}),
    ("mutate_during_scan", {"updates": 0, "creates": 0, "deletes": 8}),
    # The first request that a fault calls a page is the measurement of the watermark; the scan comes after it.
    ("late_rows", {"count": 20, "lag": 120, "skip": 3}),
    ("slow_first_answer", {"clock_seconds": 240, "updates": 20}),
    ("clock_skew", {"seconds": 900}),
    ("clock_skew", {"seconds": -900}),
    ("clock_jumps", {}),
    ("capital_ids", {"every": 3}),
    ("duplicate_number", {"pairs": 3}),
    ("odd_text", {"every": 4}),
    ("odd_fields", {"every": 5}),
    ("empty_rows", {"every": 4}),
    ("hidden_rows", {"percent": 30}),
    ("hidden_rows", {"percent": 0, "run": 90}),
    ("hidden_rows", {"percent": 0, "run": 130, "run_at": 0.0}),
    ("hidden_fields", {"fields": "description+work_notes", "how": "missing"}),
    ("hidden_fields", {"fields": "description+close_notes", "how": "empty"}),
    ("stale_delete_log", {"count": 5}),
    ("huge_description", {"count": 1, "megabytes": 5}),
]


SCOPES = {"hidden_rows", "empty_rows", "hidden_fields", "odd_fields"}
"""Faults that decide what may be seen: they stay in force for the comparison."""

LANED = SCOPES | {
    "mutate_during_scan",
    "late_rows",
    "too_many_at_once",
    "rate_limited",
    "capital_ids",
    "quota_timeout",
    "fewer_rows",
}


def cases() -> Iterator[Any]:
    """Each with one lane, and with three where that may matter. One of each kind is kept, with the most lanes."""
    kinds = set()
    for name, params in PASSING:
        most = 3 if name in LANED else 1
        for lanes in sorted({1, most}):
            is_kept = lanes == most and name not in kinds
            marks = () if is_kept else pytest.mark.long
            yield pytest.param(name, params, lanes, id=f"{name}-{params}-{lanes}", marks=marks)
        kinds.add(name)


@pytest.mark.parametrize(("name", "params", "lanes"), list(cases()))
async def test_nothing_is_lost_under(
    source: SimulatedServiceNow, name: str, params: dict[str, Any], lanes: int
) -> None:
    source.server.add_fault(name, **params)
    copy = copy_of(source, concurrency=lanes)
    if name not in SCOPES:
        await survive(source, copy)
        return
    await copy.sync("full")
    source.advance(600)
    await copy.sync()
    if name == "odd_fields":
        assert set(copy.documents) == set(source.titles())
    else:
        assert_equal(copy, source)


EACH_SHAPE = [shape if shape in {"error_after_rows", "garbage_tail"} else long(shape) for shape in SHAPES]
"""Of those that are JSON one is kept, and of those that are not."""


@pytest.mark.parametrize("shape", EACH_SHAPE)
async def test_no_broken_200_is_taken_for_data(source: SimulatedServiceNow, shape: str) -> None:
    for at_row in (0, 1, 19, None):
        source.server.add_fault("broken_200", shape=shape, at_row=at_row, times=3, skip=1)
        await survive(source, copy_of(source))


@pytest.mark.parametrize("shape", EACH_SHAPE)
async def test_a_broken_200_in_the_proof_of_the_end_is_not_believed(source: SimulatedServiceNow, shape: str) -> None:
    source.server.add_fault("broken_200", shape=shape, times=8, on="any", skip=1)
    await survive(source, copy_of(source))


async def test_changes_while_two_syncs_run_are_in_the_copy_after_the_third(source: SimulatedServiceNow) -> None:
    source.server.add_fault("mutate_during_scan", updates=9, creates=3, deletes=3)
    copy = copy_of(source, concurrency=2)
    await copy.sync("full")
    source.advance(1000)
    await copy.sync()
    await survive(source, copy)


@pytest.mark.parametrize("skip", [1, long(2), long(5)])
async def test_changes_made_by_nodes_with_other_clocks_are_not_lost(source: SimulatedServiceNow, skip: int) -> None:
    source.touch(source.instance.sys_ids()[0])  # the newest change is of this second
    source.server.add_fault("clock_jumps", offsets=(0, 900, -900, 60))
    source.server.add_fault("mutate_during_scan", updates=9, creates=3, deletes=0, skip=skip)
    await survive(source, copy_of(source))


async def test_an_incremental_read_of_few_changes_is_five_requests(source: SimulatedServiceNow) -> None:
    copy = copy_of(source)
    await copy.sync("full")
    source.touch(source.instance.sys_ids()[0])
    source.server.log.clear()
    async with source.open() as connector:
        await fetch(connector, "incremental", copy.watermark)
    # The newest rows, what a time means (two at once), the changes, and that they are all.
    assert len(source.server.log.requests) == 5


async def test_rows_behind_a_long_hidden_run_are_read(source: SimulatedServiceNow) -> None:
    source.server.add_fault("hidden_rows", percent=0, run=90)
    async with source.open(page_size=10) as connector:
        fetched = await fetch(connector)
    assert len(fetched.records) == COUNT - 90


async def test_a_long_way_through_hidden_rows_is_a_step_now_and_then(source: SimulatedServiceNow) -> None:
    source.server.add_fault("hidden_rows", percent=0, run=COUNT, run_at=0.0)
    async with source.open(page_size=1) as connector:
        fetched = await fetch(connector)
    assert fetched.records == []
    assert fetched.pages[-1].cursor is None
    assert source.server.log.total < 150 * len(fetched.pages)  # a run that goes without a step for long counts as stuck


async def test_a_gateway_that_takes_the_count_out_of_the_headers_changes_nothing(
    source: SimulatedServiceNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TableApi._list_answer

    def without_count(*args: Any) -> Answer:
        answer = whole(*args)
        answer.headers.pop("X-Total-Count", None)
        return answer

    monkeypatch.setattr(TableApi, "_list_answer", without_count)
    source.server.add_fault("hidden_rows", percent=30)
    async with source.open(page_size=20) as connector:
        fetched = await fetch(connector)
        counted = await connector.count(source.now())
    assert counted.total == COUNT
    assert len(fetched.records) == COUNT - len(source.instance.hidden)


@pytest.mark.parametrize(("name", "params"), [("hidden_rows", {"percent": 30}), ("empty_rows", {"every": 4})])
@pytest.mark.parametrize("page_size", [long(4), 20, long(500)])
async def test_what_is_read_and_what_is_hidden_make_up_the_count(
    source: SimulatedServiceNow, name: str, params: dict[str, Any], page_size: int
) -> None:
    source.server.add_fault(name, **params)
    async with source.open(page_size=page_size) as connector:
        fetched = await fetch(connector)
        counted = await connector.count(source.now())
    hidden = len(source.instance.hidden | source.instance.blank)
    assert len(fetched.records) + hidden == counted.total == COUNT
    assert hidden > 0


async def test_many_rows_of_one_second_are_all_read() -> None:
    count = 2400 if FULL else 600
    with SimulatorServer(instance_of(count + 100)) as server:
        source = SimulatedServiceNow(server)
        copy = copy_of(source, page_size=count // 6)
        await copy.sync("full")
        source.advance(600)
        server.add_fault("same_second_bulk", count=count)
        fetched = await copy.sync()
        assert fetched.start.since is not None
        assert_equal(copy, source)


REFUSING = [
    ("query_range", {"column": "sys_id", "how": "drop"}, "sys_id"),
    ("query_range", {"column": "sys_id", "how": "refuse"}, "query"),
    ("query_acl_drops_sort", {"column": "sys_id"}, "sys_id"),
    ("ignored_term", {"column": "sys_id", "operator": ">"}, "sys_id"),
]


@pytest.mark.parametrize(("name", "params", "words"), REFUSING)
async def test_a_source_that_breaks_the_querys_promise_ends_the_run(
    source: SimulatedServiceNow, name: str, params: dict[str, Any], words: str
) -> None:
    source.server.add_fault(name, **params)
    async with source.open(page_size=20) as connector:
        with pytest.raises(Refused, match=words) as caught:
            await fetch(connector)
    assert "query_range" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    "fault",
    [("ignored_term", {"column": "sys_updated_on"}), ("query_range", {"column": "sys_updated_on", "how": "drop"})],
)
async def test_an_ignored_time_bound_ends_an_incremental_run(source: SimulatedServiceNow, fault: Any) -> None:
    copy = copy_of(source)
    await copy.sync("full")
    source.server.add_fault(fault[0], **fault[1])
    with pytest.raises(Refused, match="sys_updated_on"):
        await copy.sync()


async def test_a_misspelt_filter_never_loads_the_whole_table(source: SimulatedServiceNow) -> None:
    for returns_no_rows in (False, True):
        source.instance.invalid_query_returns_no_rows = returns_no_rows
        async with source.open(filter="u_nonsens=1^active=true") as connector:
            with pytest.raises(Refused, match="u_nonsens"):
                await fetch(connector)


@pytest.mark.parametrize("filter_text", ["state=2", "state=1^ORstate=2^active=true"])
async def test_a_filter_that_is_ignored_ends_the_run(source: SimulatedServiceNow, filter_text: str) -> None:
    source.server.add_fault("ignored_term", column="state")
    async with source.open(filter=filter_text) as connector:
        with pytest.raises(Refused, match="state"):
            await fetch(connector)


@pytest.mark.parametrize(
    ("filter_text", "column"),
    [("priority<=2", "priority"), ("short_descriptionLIKEvpn^active=true", "short_description")],
)
async def test_a_comparison_in_the_filter_that_a_query_acl_forbids_ends_the_run(
    source: SimulatedServiceNow, filter_text: str, column: str
) -> None:
    source.server.add_fault("query_range", column=column, how="drop")
    async with source.open(filter=filter_text) as connector:
        with pytest.raises(Refused, match=f"ignored the filter's condition on {column}"):
            await fetch(connector)


@pytest.mark.parametrize(
    "filter_text",
    [
        "priority<=2", "priority>2^reassignment_count>=1", "state!=7", "stateNOT IN6,7", "resolved_byISEMPTY",
        "short_descriptionLIKEVPN", "short_descriptionSTARTSWITHcannot", "numberENDSWITH5",
        "assigned_toISEMPTY^active!=1", "state=1^ORpriority=1^ORreopen_count>0^active=true",
    ],
)  # fmt: skip
async def test_a_filter_that_is_honoured_is_believed(source: SimulatedServiceNow, filter_text: str) -> None:
    instance = source.instance
    async with source.open(filter=filter_text) as connector:
        fetched = await fetch(connector)
    wanted = instance.select("incident", instance.parse("incident", filter_text)).page(0, COUNT)
    assert {record.external_id for record in fetched.records} == {row.sys_id for row in wanted}


class ChangesWhatWasFound(Fault):
    """Of a page, the first row leaves the filter after it was found and before it is read, as in two-pass queries."""

    def select_rows(self, call: Call, rows: list[Row]) -> list[Row]:
        if len(rows) > 10 and self.strikes(call):
            rows[0].change({"active": "false"})
        return rows


async def test_a_row_that_leaves_the_filter_while_it_is_read_is_left_out_and_ends_nothing(
    source: SimulatedServiceNow,
) -> None:
    source.instance.update_many(source.instance.sys_ids(), {"active": "true"})
    source.server.add_fault(ChangesWhatWasFound(times=2))
    async with source.open(filter="active=true", page_size=20) as connector:
        fetched = await fetch(connector)
    active = {row["sys_id"] for row in source.instance.listing(("sys_id", "active")) if row["active"] == "true"}
    assert len(active) == COUNT - 2
    assert {record.external_id for record in fetched.records} == active


async def test_a_filter_is_not_believed_because_the_source_ignores_the_question_about_it(
    source: SimulatedServiceNow,
) -> None:
    source.server.add_fault("ignored_term", column="state")
    source.server.add_fault("ignored_term", column="sys_id", operator="IN")
    *_, last = source.instance.sys_ids()
    source.instance.update_many(source.instance.sys_ids(), {"state": "2"})
    source.instance.update(last, {"state": "7"})
    async with source.open(filter="state=2", page_size=20) as connector:
        with pytest.raises(Refused, match="ignored the condition on sys_id"):
            await fetch(connector)


async def test_a_filter_may_ask_for_a_flag_by_its_number(source: SimulatedServiceNow) -> None:
    async with source.open(filter="active=1") as connector:
        fetched = await fetch(connector)
    active = {row["sys_id"] for row in source.instance.listing(("sys_id", "active")) if row["active"] == "true"}
    assert {record.external_id for record in fetched.records} == active != set()


async def test_a_filter_limits_what_is_read(source: SimulatedServiceNow) -> None:
    async with source.open(filter="state=7^ORstate=6^active=false") as connector:
        fetched = await fetch(connector)
        counted = await connector.count(source.now())
    wanted = {
        row["sys_id"]
        for row in source.instance.listing(("sys_id", "state", "active"))
        if row["state"] in "67" and row["active"] == "false"
    }
    assert {record.external_id for record in fetched.records} == wanted
    assert 0 < len(wanted) < COUNT
    assert counted.total == len(wanted)


@pytest.mark.parametrize("name", ["hibernating", "hibernating_redirect"])
async def test_a_hibernating_instance_is_told_in_words(source: SimulatedServiceNow, name: str) -> None:
    source.server.add_fault(name, on="any")
    async with source.open() as connector:
        with pytest.raises(Refused, match="hibernating") as caught:
            await fetch(connector)
    assert "developer.servicenow.com" in (caught.value.remedy or "")


async def test_a_redirect_is_refused_and_not_followed(source: SimulatedServiceNow) -> None:
    with SimulatorServer(instance_of(3)) as elsewhere:
        source.server.add_fault("redirect", location=f"{elsewhere.url}/api/now/v2/table/incident", on="any", times=None)
        async with source.open() as connector:
            with pytest.raises(Refused, match="redirects"):
                await fetch(connector)
        assert elsewhere.log.total == 0


async def test_waits_are_told_as_they_are_asked(source: SimulatedServiceNow) -> None:
    ear = Ear()
    source.server.add_fault("rate_limited", kind="seconds", wait=30, times=2)
    async with source.open(page_size=50, budget=600, on_wait=ear) as connector:
        await fetch(connector)
    assert [(wait.seconds, wait.reason) for wait in ear.heard] == [
        (30, "ServiceNow asks to wait 30 s (rate limit)")
    ] * 2
    assert source.time.slept.count(30) == 2


async def test_a_source_that_stays_busy_is_given_up_after_the_budget(source: SimulatedServiceNow) -> None:
    source.server.add_fault("server_error", status=503, times=None, on="any")
    async with source.open(budget=60) as connector:
        with pytest.raises(Retryable, match="503"):
            await fetch(connector)
    assert 60 <= sum(source.time.slept) < 61


async def test_a_rate_limit_beyond_the_budget_is_told_at_once(source: SimulatedServiceNow) -> None:
    source.server.add_fault("rate_limited", kind="seconds", wait=3000, on="any")
    async with source.open(budget=600) as connector:
        with pytest.raises(RateLimited) as caught:
            await fetch(connector)
    assert source.time.slept == []
    assert caught.value.retry_after == 3000


async def test_pages_shrink_to_what_the_source_can_give_and_grow_again(source: SimulatedServiceNow) -> None:
    fault = source.server.add_fault("quota_timeout", most_rows=3)
    async with source.open(page_size=40, budget=600) as connector:
        start = await connector.start(FetchRequest("full", None))
        sizes = []
        async for page in connector.pages(start, start.lanes):
            sizes.append(len(page.records))
            if len(sizes) == 6:
                source.server.faults.clear(fault.name)
    assert sizes[0] == 2
    assert max(sizes) > 8
    assert sum(sizes) == COUNT
    assert source.time.slept == []


async def test_a_record_that_is_too_much_by_itself_is_rejected_with_a_way_past_it_and_the_rest_goes_on(
    source: SimulatedServiceNow,
) -> None:
    heavy = source.instance.sys_ids()[50]
    source.server.add_fault("too_much_alone", sys_ids=heavy)
    copy = copy_of(source, page_size=20, budget=60)
    await copy.sync("full")
    assert set(copy.rejected) == {heavy}
    assert "broke off, though it was asked for alone" in copy.rejected[heavy]
    assert f"by the filter (sys_id!={heavy})" in copy.rejected[heavy]
    assert len(copy.documents) == COUNT - 1
    source.server.faults.clear()
    await copy.sync("full")
    assert copy.rejected == {}
    assert_equal(copy, source)


class EndedByTheQuota(TooMuchAlone):
    """The answer breaks off after a minute."""

    def __init__(self, source: SimulatedServiceNow, sys_id: str) -> None:
        super().__init__(sys_ids=sys_id)
        self.time = source.time

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        whole = answer.body
        broken = super().after(call, answer, instance)
        self.time.moment += 60 * (broken.body != whole)
        return broken


async def test_a_record_that_is_too_much_is_rejected_though_halving_the_page_has_taken_all_the_time(
    source: SimulatedServiceNow,
) -> None:
    heavy = min(source.instance.sys_ids())
    source.server.add_fault(EndedByTheQuota(source, heavy))
    copy = copy_of(source, page_size=2000, budget=600)
    await copy.sync("full")
    assert set(copy.rejected) == {heavy}
    assert len(copy.documents) == COUNT - 1


@pytest.mark.parametrize("places", [(0, 50), (0, 1), (50, -1), (-2, -1)])
async def test_several_records_that_are_too_much_by_themselves_are_each_rejected(
    source: SimulatedServiceNow, places: tuple[int, int]
) -> None:
    ids = sorted(source.instance.sys_ids())
    heavy = {ids[place] for place in places}
    source.server.add_fault("too_much_alone", sys_ids="+".join(heavy))
    copy = copy_of(source, page_size=20, budget=60)
    await copy.sync("full")
    assert set(copy.rejected) == heavy
    assert len(copy.documents) == COUNT - 2


async def test_a_record_that_grows_too_much_is_rejected_where_it_alone_has_changed(
    source: SimulatedServiceNow,
) -> None:
    copy = copy_of(source, page_size=20, budget=60)
    await copy.sync("full")
    source.advance(3600)
    heavy = source.instance.sys_ids()[50]
    source.instance.update(heavy, {"description": "Grown"})
    source.server.add_fault("too_much_alone", sys_ids=heavy)
    await copy.sync()
    assert set(copy.rejected) == {heavy}
    assert len(copy.documents) == COUNT


async def test_no_record_is_rejected_as_too_much_while_no_other_can_be_read(source: SimulatedServiceNow) -> None:
    source.server.add_fault("too_much_alone")
    async with source.open(page_size=20, budget=60) as connector:
        with pytest.raises(Retryable, match="broke off"):
            await fetch(connector)


async def test_a_server_that_never_answers_is_left_in_time(source: SimulatedServiceNow) -> None:
    source.server.add_fault("never_answers", times=2)
    policy = EgressPolicy(allowed_hosts=("127.0.0.1",), timeout=timedelta(seconds=0.3))
    copy = copy_of(source, policy=policy)
    await survive(source, copy)


async def test_a_body_that_trickles_is_left_in_time(source: SimulatedServiceNow) -> None:
    source.server.add_fault("trickle", size=64, seconds=0.05, times=2)
    policy = EgressPolicy(allowed_hosts=("127.0.0.1",), timeout=timedelta(seconds=0.3))
    await survive(source, copy_of(source, policy=policy))


async def test_a_page_over_the_byte_limit_is_asked_for_in_smaller_pieces(source: SimulatedServiceNow) -> None:
    policy = EgressPolicy(allowed_hosts=("127.0.0.1",), max_response_bytes=60_000)
    await survive(source, copy_of(source, policy=policy, page_size=100))


@pytest.mark.parametrize("how", ["missing", long("null"), long("empty")])
async def test_a_record_without_a_number_is_rejected_and_the_rest_goes_on(
    source: SimulatedServiceNow, how: str
) -> None:
    source.server.add_fault("unmappable", field="number", how=how, every=10)
    copy = copy_of(source)
    await copy.sync("full")
    assert len(copy.rejected) == COUNT // 10
    assert len(copy.documents) == COUNT - len(copy.rejected)
    source.server.faults.clear()
    await copy.sync("full")
    assert copy.rejected == {}
    assert_equal(copy, source)


async def test_no_cookie_is_ever_sent_back(source: SimulatedServiceNow) -> None:
    async with source.open() as connector:
        await fetch(connector)
    assert source.server.log.total > 5
    assert not any(request.sent_cookies for request in source.server.log.requests)


async def test_no_more_requests_at_once_than_lanes(source: SimulatedServiceNow) -> None:
    source.server.add_fault("latency", milliseconds=30)
    async with source.open(page_size=5, concurrency=3) as connector:
        await fetch(connector)
    assert 1 < source.server.log.most_in_flight <= 3


async def test_a_read_that_was_begun_in_more_lanes_than_may_be_read_at_once_makes_no_more_requests_than_that(
    source: SimulatedServiceNow,
) -> None:
    async with source.open(page_size=5, concurrency=6) as connector:
        start = await connector.start(FetchRequest("full", None))
    source.server.add_fault("latency", milliseconds=30)

    async with source.open(page_size=5, concurrency=2) as narrow, aclosing(narrow.pages(start, start.lanes)) as pages:
        ids = [record.external_id async for page in pages for record in page.records]

    assert (len(start.lanes), sorted(ids)) == (6, sorted(source.titles()))
    assert source.server.log.most_in_flight == 2


async def test_a_small_source_is_one_page(source: SimulatedServiceNow) -> None:
    async with source.open(page_size=1000, concurrency=4) as connector:
        fetched = await fetch(connector)
    assert [(len(page.records), page.cursor) for page in fetched.pages] == [(COUNT, None)]


async def test_of_records_that_vanished_together_each_has_its_own_reason(source: SimulatedServiceNow) -> None:
    source.instance.update_many(source.instance.sys_ids(), {"active": "true"})
    copy = copy_of(source, filter="active=true")
    await copy.sync("full")
    lost = sorted(copy.documents)[:12]
    reasons = dict(zip(lost, ("deleted", "archived", "no_longer_visible", "out_of_filter") * 3, strict=True))
    others = set(copy.documents) - set(lost)
    source.advance(600)
    for sys_id, reason in reasons.items():
        match reason:
            case "deleted":
                source.instance.delete(sys_id)
            case "archived":
                source.instance.archive(sys_id)
            case "no_longer_visible":
                source.instance.hide([sys_id])
            case _:
                source.instance.update(sys_id, {"active": "false"})
    await copy.sync("full")
    assert copy.gone == reasons
    assert set(copy.documents) == others


async def test_an_ordinary_sync_learns_of_deletes_from_all_pages_of_the_log_and_checks_each(
    source: SimulatedServiceNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gone, "_LOG_PAGE", 4)
    copy = copy_of(source)
    await copy.sync("full")
    source.advance(600)
    living, *dead = source.instance.sys_ids()[:10]
    source.instance.log_delete_of_living(living)
    for sys_id in dead:
        source.instance.delete(sys_id)
    await copy.sync()
    assert copy.gone == dict.fromkeys(dead, "deleted")


async def test_deletes_are_found_in_the_log_under_the_classes_that_extend_the_table(
    source: SimulatedServiceNow,
) -> None:
    vip, _, plain, *_ = source.instance.sys_ids()
    source.instance.update_many(source.instance.sys_ids()[:2], {"sys_class_name": "u_vip_incident"})
    source.advance(600)
    source.instance.update_many(source.instance.sys_ids()[3:20], {"sys_class_name": "u_minor_incident"})
    copy = copy_of(source)
    await copy.sync("full")
    source.advance(600)
    source.instance.delete(vip)
    source.instance.delete(plain)
    await copy.sync()
    assert copy.gone == {vip: "deleted", plain: "deleted"}


@pytest.mark.parametrize(
    ("fault", "params"), [("redirect", {"location": "https://elsewhere.example"}), ("truncated_json", {"at_byte": 9})]
)
async def test_deletes_are_found_without_the_aggregate_api_under_the_classes_that_are_seen(
    source: SimulatedServiceNow, fault: str, params: dict[str, Any]
) -> None:
    lost, *others = source.instance.sys_ids()[:4]
    source.instance.update_many([lost, *others], {"sys_class_name": "u_vip_incident"})
    copy = copy_of(source)
    await copy.sync("full")
    source.advance(600)
    source.instance.delete(lost)
    source.server.add_fault(fault, on="stats", times=None, **params)
    await copy.sync()
    assert copy.gone == {lost: "deleted"}
    assert source.time.slept == []


async def test_what_was_archived_is_found_in_the_archive_of_its_class(source: SimulatedServiceNow) -> None:
    vip, dead, *others = source.instance.sys_ids()[:5]
    source.instance.update_many([vip, dead, *others], {"sys_class_name": "u_vip_incident"})
    copy = copy_of(source)
    await copy.sync("full")
    plain = source.instance.sys_ids()[40]
    source.instance.archive(vip)
    source.instance.archive(plain)
    source.instance.delete(dead)
    await copy.sync("full")
    assert copy.gone == {vip: "archived", plain: "archived", dead: "deleted"}


async def test_a_delete_log_that_ignores_the_order_is_none_and_does_not_end_the_run(
    source: SimulatedServiceNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for sys_id in source.instance.sys_ids()[:9]:
        source.instance.delete(sys_id)
    log = source.instance.tables["sys_audit_delete"]
    monkeypatch.setattr(log, "order", log.order[::-1])
    async with source.open() as connector:
        assert await connector.deleted_since(source.now()) is None


async def test_a_delete_log_that_may_not_be_read_is_none_and_not_empty(source: SimulatedServiceNow) -> None:
    source.instance.revoke("delete_log_reader")
    async with source.open() as connector:
        assert await connector.deleted_since(source.now()) is None


@pytest.mark.parametrize(("page", "most_rows"), [(50, 1000), (5000, 250)])
async def test_what_leaves_the_filter_is_gone_with_the_next_incremental_sync(
    source: SimulatedServiceNow, monkeypatch: pytest.MonkeyPatch, page: int, most_rows: int
) -> None:
    monkeypatch.setattr(gone, "_IDS_PAGE", page)
    source.server.add_fault("quota_timeout", most_rows=most_rows)
    source.instance.revoke("delete_log_reader")
    for sys_id in source.instance.sys_ids():
        source.instance.update(sys_id, {"active": "true"})
    copy = copy_of(source, filter="active=true")
    await copy.sync("full")
    left, changed, *_ = source.instance.sys_ids()
    source.advance(3600)
    source.instance.update(left, {"active": "false"})
    source.instance.update(changed, {"short_description": "Still here"})

    fetched = await copy.sync()

    assert fetched.start.since is not None
    assert copy.gone == {left: "out_of_filter"}
    assert copy.documents[changed].title == "Still here"


async def test_the_last_ones_that_leave_the_filter_are_gone_as_well(source: SimulatedServiceNow) -> None:
    source.instance.revoke("delete_log_reader")
    last = source.instance.sys_ids()[:2]
    source.instance.update_many(source.instance.sys_ids(), {"active": "false"})
    source.instance.update_many(last, {"active": "true"})
    copy = copy_of(source, filter="active=true")
    await copy.sync("full")
    source.advance(3600)
    source.instance.update_many(last, {"active": "false"})

    fetched = await copy.sync()

    assert fetched.start.since is not None
    assert copy.gone == dict.fromkeys(last, "out_of_filter")


async def test_a_table_that_is_too_large_without_the_filter_does_not_end_a_sync(source: SimulatedServiceNow) -> None:
    async with source.open(filter="active=true") as connector:
        await connector.start(FetchRequest("incremental", source.now()))
        source.instance.delete(dead := source.instance.sys_ids()[0])
        source.server.add_fault("quota_timeout", most_rows=100)
        assert await connector.deleted_since(source.now() - timedelta(days=365)) == [dead]


async def test_ids_are_not_confirmed_gone_by_a_source_that_ignores_the_question(source: SimulatedServiceNow) -> None:
    ids = source.instance.sys_ids()[:3]
    for params in ({"column": "sys_id", "operator": "IN"},):
        source.server.add_fault("ignored_term", **params)
        async with source.open() as connector:
            with pytest.raises(ConnectorError):
                await connector.confirm_gone(dict.fromkeys([*ids, "0" * 32], ""))


FORMS = ("yyyy-MM-dd HH:mm:ss", "dd.MM.yyyy HH:mm:ss", "MM/dd/yyyy hh:mm:ss a")
ZONES = ("Europe/Berlin", "America/St_Johns", "Pacific/Auckland", "UTC")
KEPT = set(zip(FORMS, ZONES, strict=False))
"""Each form, in a zone of its own."""


@pytest.mark.parametrize(
    ("form", "zone"),
    [each if each in KEPT else long(*each) for each in itertools.product(FORMS, ZONES)],
)
async def test_literals_read_in_the_sessions_zone_are_shifted(form: str, zone: str) -> None:
    with SimulatorServer(instance_of(COUNT, time_zone=zone, date_format=form)) as server:
        source = SimulatedServiceNow(server)
        server.add_fault("literal_in_session_zone")
        source.touch(source.instance.sys_ids()[0])
        copy = copy_of(source)
        await copy.sync("full")
        source.advance(3 * 3600)
        changed = source.instance.sys_ids()[::20]
        for sys_id in changed:
            source.instance.update(sys_id, {"short_description": "Changed"})
        source.instance.delete(source.instance.sys_ids()[1])
        fetched = await copy.sync()
        assert fetched.start.since is not None
        assert len(fetched.records) < COUNT
        assert_equal(copy, source)
        async with source.open() as connector:
            assert (await connector.count(source.now())).total == COUNT - 1


@pytest.mark.parametrize(
    ("zone", "evening"), [("Europe/London", "2026-10-24 21:00:00"), ("Atlantic/Azores", "2026-03-28 21:00:00")]
)
async def test_a_zone_that_is_utc_in_one_season_only_loses_nothing_when_clocks_are_changed(
    zone: str, evening: str
) -> None:
    with SimulatorServer(instance_of(COUNT, time_zone=zone)) as server:
        source = SimulatedServiceNow(server)
        source.advance(parse_stamp(evening) - source.instance.clock.now())
        server.add_fault("literal_in_session_zone")
        before, newest, after, *others = source.instance.sys_ids()
        source.touch(before)
        source.advance(1800)
        source.touch(newest)
        copy = copy_of(source)
        await copy.sync("full")
        source.advance(1200)
        source.update(after, "Changed before the clocks were")
        source.advance(12 * 3600)
        for sys_id in others[:10]:
            source.update(sys_id, "Changed after it")

        fetched = await copy.sync()

        assert fetched.start.since is not None
        assert_equal(copy, source)


async def test_no_rows_in_the_order_of_a_column_that_may_not_be_asked_for_are_no_empty_table(
    source: SimulatedServiceNow,
) -> None:
    source.instance.invalid_query_returns_no_rows = True
    source.instance.incidents.columns = dict(source.instance.incidents.columns)
    del source.instance.incidents.columns["sys_updated_on"]
    async with source.open(page_size=50) as connector:
        fetched = await fetch(connector)
        counted = await connector.count(source.now())
    assert len(fetched.records) == COUNT
    assert (counted.total, "could not be proved" in (counted.why_unknown or "")) == (None, True)


async def test_an_empty_table_counts_none(source: SimulatedServiceNow) -> None:
    source.clear()
    async with source.open() as connector:
        assert (await connector.count(source.now())).total == 0


async def test_a_literal_that_cannot_be_proved_means_reading_everything_and_saying_so() -> None:
    with SimulatorServer(instance_of(COUNT, time_zone="Europe/Berlin", date_format="'on' yyyy MM dd")) as server:
        source = SimulatedServiceNow(server)
        server.add_fault("literal_in_session_zone")
        copy = copy_of(source)
        await copy.sync("full")
        fetched = await copy.sync()
        assert fetched.start.since is None
        assert "Everything is read" in fetched.start.notes[0]
        assert len(fetched.records) == COUNT
