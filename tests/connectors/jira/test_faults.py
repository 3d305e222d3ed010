"""Jira misbehaves in every way that is known, and still nothing is lost; or the sync fails in words that help."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from integrations_api.connectors.errors import ConnectorError, Refused, Retryable
from integrations_api.connectors.jira import connector as connector_module
from integrations_api.connectors.jira.client import JiraClient
from integrations_api.connectors.records import FetchRequest
from integrations_api.simulator.common.general_faults import Refusal
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.jira import AfterPage, Flavour, JiraSite, SimulatorServer, evolve
from integrations_api.simulator.jira.faults import Fault
from integrations_api.simulator.jira.messages import Call
from tests.connectors.copying import Copy, Ear, fetch
from tests.connectors.jira.sources import SimulatedJira, site_of

pytestmark = pytest.mark.anyio

COUNT = 45
BOTH: tuple[Flavour, ...] = ("cloud", "datacenter")


def opened(flavour: Flavour, count: int = COUNT) -> SimulatorServer:
    return SimulatorServer(site_of(count, flavour))


@pytest.fixture
def cloud() -> Iterator[SimulatedJira]:
    with opened("cloud") as server:
        yield SimulatedJira(server)


@pytest.fixture
def datacenter() -> Iterator[SimulatedJira]:
    with opened("datacenter") as server:
        yield SimulatedJira(server)


@pytest.fixture(params=BOTH)
def source(request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
    with opened(request.param) as server:
        yield SimulatedJira(server)


def equal(copy: Copy, source: SimulatedJira) -> bool:
    """Whether the copy holds every issue under its present key and title, and nothing else."""
    held = {key: (document.number, document.title) for key, document in copy.documents.items()}
    return held == {row["id"]: (row["key"], row["summary"]) for row in source.site.listing()}


# ---- what is borne

BORNE = [
    ("rate_limited", {"times": 3}),
    ("rate_limited", {"kind": "date", "times": 2, "on": "page"}),
    ("rate_limited", {"kind": "reset", "wait": 90, "times": 1, "on": "page"}),
    ("rate_limited", {"kind": "bucket", "times": 2}),
    ("rate_limited", {"kind": "zero", "times": 3}),
    ("server_error", {"times": 3, "on": "page"}),
    ("server_error", {"times": 1, "retry_after": 5}),
    ("server_error", {"status": 500, "form": "json", "times": 2, "on": "probe"}),
    ("web_page", {"times": 2}),
    ("truncated_json", {"times": 2, "on": "page"}),
    ("truncated_json", {"times": 1, "share": 0.0, "on": "probe"}),
    ("reset_mid_body", {"times": 2, "on": "page"}),
    ("trickle", {"times": 1, "seconds": 0.001, "size": 4096}),
    ("token_expires", {"times": 2}),
    ("tokens_are_good_once", {}),
    ("token_repeats", {"times": 2}),
    ("short_pages", {"most": 3}),
    ("short_pages", {"most": 1}),
    ("empty_pages", {}),
    ("clock_skew", {"seconds": 900}),
    ("clock_skew", {"seconds": -90_000}),
    ("odd_bodies", {}),
    ("small_window", {"rows": 60}),
    ("epoch_is_no_date", {}),
    ("churn", {"what": "update"}),
    ("churn", {"what": "move"}),
    ("churn", {"what": "delete"}),
    ("churn", {"what": "create"}),
]
KEPT = {"rate_limited-0", "server_error-5", "truncated_json-9", "token_expires-13", "empty_pages-18", "churn-25"}
CASES = [
    pytest.param(name, options, id=f"{name}-{position}", marks=() if f"{name}-{position}" in KEPT else pytest.mark.long)
    for position, (name, options) in enumerate(BORNE)
]


@pytest.mark.parametrize("flavour", BOTH)
@pytest.mark.parametrize(("name", "options"), CASES)
async def test_nothing_is_lost_whatever_the_source_does(name: str, options: dict[str, Any], flavour: Flavour) -> None:
    with opened(flavour, 150 if name == "small_window" else COUNT) as server:
        source = SimulatedJira(server)
        copy = Copy(lambda: source.open(budget=600))
        server.add_fault(name, **options)
        await copy.sync()
        evolve(source.site, 25, seed=3)
        await copy.sync()
        server.faults.clear()
        source.advance(3600)

        await copy.sync("full")

        assert equal(copy, source)
        assert copy.rejected == {}


# ---- what fails, and in which words


@pytest.mark.parametrize(
    ("name", "options", "words", "remedy"),
    [
        ("credentials_expire", {}, r"Sign-in was refused \(401\)", "API token"),
        ("credentials_expire", {"form": "anonymous"}, r"Sign-in was refused \(200\)", "expires within a year"),
        ("credentials_expire", {"form": "anonymous", "on": "page"}, r"Sign-in was refused \(200\)", "API token"),
        ("captcha", {}, "CAPTCHA", "browser"),
        ("redirect", {"times": None}, "redirects", "URL"),
        ("ignored", {"column": "order", "on": "page"}, "ignored the order by created", "index"),
        ("ignored", {"column": "created", "on": "page"}, "ignored the condition on created", "index"),
    ],
)
async def test_what_cannot_be_borne_fails_in_words_that_help(
    source: SimulatedJira, name: str, options: dict[str, Any], words: str, remedy: str
) -> None:
    source.server.add_fault(name, **options)
    async with source.open() as connector:
        with pytest.raises(Refused, match=words) as caught:
            await fetch(connector)
    assert remedy in str(caught.value.remedy)
    assert not any(secret in f"{caught.value.message} {caught.value.remedy}" for secret in source.secrets)


async def test_a_bound_that_was_proved_and_is_ignored_by_pages_ends_the_sync(source: SimulatedJira) -> None:
    source.server.add_fault("ignored", column="updated", on="page")
    async with source.open() as connector:
        with pytest.raises(Refused, match="ignored the condition on updated"):
            await fetch(connector, "incremental", source.now() - timedelta(hours=1))


async def test_pages_whose_tokens_lead_round_in_a_ring_end_the_sync_in_words(cloud: SimulatedJira) -> None:
    cloud.server.add_fault("epoch_is_no_date")  # so that pages follow each other by tokens alone
    cloud.server.add_fault("tokens_go_round", pages=3)
    async with cloud.open(concurrency=3) as connector, asyncio.timeout(60):
        with pytest.raises(Refused, match="pages of the source do not end"):
            await fetch(connector)


async def test_tokens_that_repeat_where_a_minute_is_proved_end_the_sync_in_words(cloud: SimulatedJira) -> None:
    for number in range(60):
        cloud.create(f"Imported {number}")
    cloud.server.add_fault("short_pages", most=20, on="probe")
    cloud.server.add_fault("token_repeats", on="probe", times=None)
    async with cloud.open() as connector, asyncio.timeout(60):
        with pytest.raises(Refused, match="pages of the source do not end"):
            await fetch(connector)


async def test_credentials_that_expire_in_the_middle_do_not_make_the_rest_look_deleted(cloud: SimulatedJira) -> None:
    copy = Copy(cloud.open)
    await copy.sync()
    cloud.server.add_fault("credentials_expire", form="anonymous", on="issue")
    async with cloud.open() as connector:
        with pytest.raises(Refused, match="Sign-in was refused"):
            await connector.confirm_gone(dict.fromkeys(copy.documents, ""))


async def test_a_bound_that_is_ignored_leads_to_a_full_read_that_says_so(source: SimulatedJira) -> None:
    copy = Copy(source.open)
    await copy.sync()
    source.advance(3600)
    source.server.add_fault("ignored", column="updated")

    fetched = await copy.sync()

    assert fetched.start.since is None
    assert "time in a query" in fetched.start.notes[0]
    assert len(fetched.records) == COUNT


async def test_a_page_for_people_that_stays_is_told_after_the_budget(source: SimulatedJira) -> None:
    source.server.add_fault("web_page", times=None)
    async with source.open(budget=20) as connector:
        with pytest.raises(Retryable, match="web page") as caught:
            await connector.start(FetchRequest("full", None))
    assert "sign-in page" in str(caught.value.remedy)


async def test_too_many_issues_of_one_minute_are_told_with_what_to_do(datacenter: SimulatedJira) -> None:
    for _ in range(30):
        datacenter.create("Imported")
    datacenter.server.add_fault("small_window", rows=15)
    async with datacenter.open() as connector:
        with pytest.raises(Refused, match="pages no further") as caught:
            await fetch(connector)
    assert "max_result_window" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("status", "answer"),
    [("cloud", "The server answers"), ("datacenter", "Jira Data Center answers")],
)
async def test_an_api_token_goes_with_its_e_mail_and_a_personal_access_token_without(
    status: Flavour, answer: str
) -> None:
    email = {"cloud": None, "datacenter": "integration@example.com"}[status]
    with opened(status) as server:
        async with SimulatedJira(server).open(email=email) as connector:
            checks = await connector.check()
    assert (checks[0].seen, checks[-1].name, checks[-1].status) == (answer, "signed in", "failed")
    assert "e-mail" in str(checks[-1].remedy)


# ---- limits


async def test_what_a_rate_limit_asks_is_waited_and_told(cloud: SimulatedJira) -> None:
    ear = Ear()
    cloud.server.add_fault("rate_limited", wait=30, on="page")
    async with cloud.open(budget=600, on_wait=ear) as connector:
        await fetch(connector)
    assert 30.0 in cloud.time.slept
    assert [wait.reason for wait in ear.heard] == ["Jira asks to wait 30 s (rate limit)"]


async def test_a_reset_in_iso_8601_is_understood(cloud: SimulatedJira) -> None:
    cloud.server.add_fault("rate_limited", kind="reset", wait=120, on="page")
    async with cloud.open(budget=600) as connector:
        await fetch(connector)
    assert 60 <= max(cloud.time.slept) <= 120


async def test_a_bucket_that_says_zero_is_not_asked_again_at_once(datacenter: SimulatedJira) -> None:
    datacenter.server.add_fault("rate_limited", kind="zero", times=3, on="page")
    async with datacenter.open(budget=600) as connector:
        await fetch(connector)
    assert [seconds for seconds in datacenter.time.slept if seconds > 0] == [0.5, 1.0, 2.0]


async def test_the_reason_of_a_limit_is_told(cloud: SimulatedJira) -> None:
    cloud.server.add_fault("rate_limited", wait=5000, on="any", times=None)
    async with cloud.open() as connector:
        with pytest.raises(Retryable, match="jira-burst-based"):
            await connector.start(FetchRequest("full", None))


# ---- the index


async def test_a_change_that_searches_find_late_is_read_by_a_later_sync(cloud: SimulatedJira) -> None:
    copy = Copy(cloud.open)
    await copy.sync()
    cloud.server.add_fault("index_lag", seconds=120)
    cloud.advance(3600)
    [early, late, *_] = sorted(copy.documents)
    cloud.update(late, "Late in the index")
    created = cloud.create("New, and late")
    cloud.advance(60)
    cloud.server.faults.clear("index_lag")
    cloud.update(early, "Early in the index")
    cloud.server.add_fault("index_lag", seconds=120)

    first = await copy.sync()
    missing = {late, created} - {record.external_id for record in first.records}
    async with cloud.open() as connector:
        assert await connector.confirm_gone({created: ""}) == []
    cloud.advance(600)
    await copy.sync()

    assert missing == {late, created}
    assert equal(copy, cloud)


async def test_an_incremental_sync_reads_a_quarter_of_an_hour_back_unless_it_is_told_otherwise(
    cloud: SimulatedJira,
) -> None:
    issue_id = sorted(cloud.titles())[0]
    cloud.touch(issue_id)
    options: list[dict[str, Any]] = [{}, {"overlap": "1h"}, {"overlap": 0}]
    for option, back in zip(options, (timedelta(minutes=15), timedelta(hours=1), timedelta(0)), strict=True):
        async with cloud.open(**option) as connector:
            start = await connector.start(FetchRequest("full", None))
        assert start.next_watermark == cloud.now() - back


# ---- moves, deletes, permissions


async def test_a_moved_issue_keeps_its_identity_under_its_new_key(source: SimulatedJira) -> None:
    copy = Copy(source.open)
    await copy.sync()
    issue_id = sorted(copy.documents)[3]
    source.advance(3600)
    key = source.site.move(issue_id, "WORK")

    await copy.sync()

    assert copy.documents[issue_id].number == key
    async with source.open() as connector:
        assert await connector.confirm_gone({issue_id: "OPS-1"}) == []


async def test_why_an_issue_is_gone(source: SimulatedJira) -> None:
    ids = {row["key"].partition("-")[0]: row["id"] for row in source.site.listing()}
    net, ops, app = ids["NET"], ids["OPS"], ids["APP"]
    keys = {row["id"]: row["key"] for row in source.site.listing()}
    source.site.hide_project("NET")
    source.site.delete(ops)
    source.site.transition(app, "Closed")
    source.site.move(ids["WORK"], "APP")

    async with source.open(filter="status != Closed or key is empty") as connector:
        lost = await connector.confirm_gone({issue_id: keys[issue_id] for issue_id in (net, ops, app, ids["WORK"])})

    reasons = {one.external_id: one.reason for one in lost}
    reasons.pop(ids["WORK"], None)  # it may have been closed before
    assert reasons == {net: "no_longer_visible", ops: "deleted", app: "out_of_filter"}


@pytest.mark.parametrize("options", [{}, {"projects": ["APP", "NET", "OPS", "WORK"]}], ids=["all", "some"])
async def test_an_issue_that_was_archived_is_gone_although_it_can_still_be_opened(
    source: SimulatedJira, options: dict[str, Any]
) -> None:
    copy = Copy(lambda: source.open(**options))
    await copy.sync()
    archived, *_ = sorted(copy.documents)
    source.site.archive([archived])

    await copy.sync("full")

    assert copy.gone == {archived: "archived"}
    async with source.open(**options) as connector:
        assert (await connector.count(source.now())).total == len(copy.documents)


async def test_a_project_that_comes_into_sight_is_counted_at_once_and_read_by_a_full_sync(
    source: SimulatedJira,
) -> None:
    source.site.hide_project("NET")
    copy = Copy(source.open)
    await copy.sync()
    source.site.show_project("NET")
    source.advance(86_400)
    source.create("Changed since")
    await copy.sync()
    async with source.open() as connector:
        counted = await connector.count(source.now())
    assert counted.total == len(source.titles()) > len(copy.documents)
    assert counted.only_visible
    await copy.sync("full")
    assert equal(copy, source)


async def test_a_count_that_takes_long_tells_now_and_then_how_far_it_is(
    cloud: SimulatedJira, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of which nothing is heard for SYNC_STALL_TIMEOUT is taken away, and would begin to count again."""
    page = JiraClient.page

    async def slow_page(client: JiraClient, *given: Any, **named: Any) -> Any:
        cloud.time.moment += 20
        return await page(client, *given, **named)

    monkeypatch.setattr(JiraClient, "page", slow_page)
    monkeypatch.setattr(connector_module, "LARGEST_PAGE", 5)
    ear = Ear()

    async with cloud.open(on_wait=ear) as jira:
        counted = await jira.count(cloud.now())

    assert counted.total == COUNT
    assert [wait.reason for wait in ear.heard][:2] == ["Looked through 9 issues...", "Looked through 17 issues..."]
    assert {wait.seconds for wait in ear.heard} == {0.0}


async def test_an_issue_that_only_this_user_may_no_longer_see_does_not_stop_a_full_sync(source: SimulatedJira) -> None:
    copy = Copy(source.open)
    await copy.sync()
    hidden, *_ = sorted(copy.documents)
    source.site.hide([hidden])

    await copy.sync("full")

    # Cloud answers as it does for one that was deleted.
    assert copy.gone == {hidden: "deleted" if source.site.flavour == "cloud" else "no_longer_visible"}
    assert len(copy.documents) == COUNT - 1


async def test_a_user_who_may_see_no_single_issue_any_more_does_not_make_all_look_hidden(
    datacenter: SimulatedJira,
) -> None:
    copy = Copy(datacenter.open)
    await copy.sync()
    datacenter.server.add_fault("no_access", on="issue")
    async with datacenter.open() as connector:
        with pytest.raises(Refused, match="does not find an issue by its id although it lists it"):
            await connector.confirm_gone(dict.fromkeys(copy.documents, ""))


async def test_projects_and_filter_limit_what_is_read(source: SimulatedJira) -> None:
    async with source.open(projects=["net", "WORK"], filter="statusCategory = Done OR priority = Low") as connector:
        fetched = await fetch(connector)
        documents = [connector.map(record) for record in fetched.records]
        counted = await connector.count(source.now())
    assert documents
    assert {document.number.partition("-")[0] for document in documents} <= {"NET", "WORK"}
    kept = (document.attributes for document in documents)
    assert all(one["state_category"] == "Done" or one["priority"] == "Low" for one in kept)
    assert counted.total == len(documents)


async def test_what_leaves_projects_or_filter_is_gone_with_the_next_incremental_sync(source: SimulatedJira) -> None:
    copy = Copy(lambda: source.open(projects=["OPS", "NET"], filter="status = Closed"))
    await copy.sync("full")
    opened, moved, changed, dead = sorted(copy.documents)[:4]
    source.advance(7200)
    source.site.transition(opened, "Open")
    source.site.move(moved, "APP")
    source.update(changed, "Still here")
    source.site.delete(dead)  # only a full sync can tell

    fetched = await copy.sync()

    assert fetched.start.since is not None
    assert copy.gone == {opened: "out_of_filter", moved: "out_of_filter"}
    assert copy.documents[changed].title == "Still here"


async def test_the_last_ones_that_leave_the_filter_are_gone_as_well(source: SimulatedJira) -> None:
    copy = Copy(lambda: source.open(filter="status = Closed"))
    await copy.sync("full")
    closed = list(copy.documents)
    source.advance(7200)
    for issue_id in closed:
        source.site.transition(issue_id, "Open")

    fetched = await copy.sync()

    assert fetched.start.since is not None
    assert copy.gone == dict.fromkeys(closed, "out_of_filter")


async def test_a_filter_that_the_source_does_not_understand_is_told_in_its_own_words(source: SimulatedJira) -> None:
    async with source.open(filter="nonsense = 1") as connector:
        with pytest.raises(ConnectorError, match="Field 'nonsense' does not exist"):
            await connector.start(FetchRequest("full", None))
        failed = [check for check in await connector.check() if check.status == "failed"]
    assert [check.name for check in failed] == ["issues"]


class WithoutIds(Fault):
    """The issues of a search have no ids."""

    def edit_page(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        rows = [{key: value for key, value in row.items() if key != "id"} for row in answer["issues"]]
        return answer | {"issues": rows} if self.strikes(call) else answer


class NoIssue(Refusal[JiraSite, Call]):
    """An empty object in place of an issue."""

    default_times = None

    def answer(self, call: Call, instance: JiraSite) -> Answer:
        return Answer.json({})


async def test_issues_without_an_id_are_a_broken_answer(cloud: SimulatedJira) -> None:
    cloud.server.add_fault(WithoutIds())
    async with cloud.open(budget=20) as connector:
        with pytest.raises(Retryable, match="broke off"):
            await fetch(connector)


async def test_an_answer_that_is_no_issue_does_not_make_one_gone(source: SimulatedJira) -> None:
    archived, *_ = sorted(source.titles())
    source.site.archive([archived])
    source.server.add_fault(NoIssue(on="issue"))
    async with source.open() as connector:
        with pytest.raises(Retryable, match="or none"):
            await connector.confirm_gone({archived: "OPS-1"})


# ---- comments


async def test_comments_beyond_the_first_page_are_read(source: SimulatedJira) -> None:
    issue_id = sorted(source.titles())[0]
    known = len(source.site.issues[issue_id].comments)
    for number in range(250):
        source.site.comment(issue_id, f"Comment {number}")
    async with source.open() as connector:
        found = {record.external_id: connector.map(record) for record in (await fetch(connector)).records}
    notes = [note.text for note in found[issue_id].notes]
    assert len(notes) == known + 250
    assert {f"Comment {number}" for number in range(250)} <= set(notes)


async def test_no_more_issues_are_completed_at_once_than_requests_may_be_made(cloud: SimulatedJira) -> None:
    for issue_id in sorted(cloud.titles())[:8]:
        for number in range(30):
            cloud.site.comment(issue_id, f"Comment {number}")
    cloud.server.add_fault("latency", milliseconds=30)
    async with cloud.open(page_size=1000, concurrency=2) as connector:
        await fetch(connector)

    assert cloud.server.log.most_in_flight == 2


async def test_a_comment_that_goes_while_its_pages_are_read_hides_no_other(cloud: SimulatedJira) -> None:
    issue_id = sorted(cloud.titles())[0]
    ids = [cloud.site.comment(issue_id, f"Comment {number}") for number in range(220)]
    cloud.server.add_fault(AfterPage(lambda _: cloud.site.delete_comment(issue_id, ids[0]), on="comments", times=1))
    async with cloud.open() as connector:
        found = {record.external_id: connector.map(record) for record in (await fetch(connector)).records}
    notes = {note.text for note in found[issue_id].notes}
    assert {f"Comment {number}" for number in range(1, 220)} <= notes


async def test_an_issue_that_goes_before_its_comments_are_read_does_not_end_the_sync(source: SimulatedJira) -> None:
    issue_id = source.create("Talked about")
    for number in range(120):
        source.site.comment(issue_id, f"Comment {number}")
    source.server.add_fault(AfterPage(lambda _: source.site.delete(issue_id), skip=COUNT // 50, times=1))
    async with source.open(page_size=100) as connector:
        fetched = await fetch(connector)
    assert {record.external_id for record in fetched.records} >= set(source.titles())


# ---- pages


@pytest.mark.parametrize("page_size", [1, 7, 20, 1000])
async def test_issues_imported_in_one_second_are_all_read(source: SimulatedJira, page_size: int) -> None:
    for number in range(60):
        source.create(f"Imported {number}")
    async with source.open(page_size=page_size, concurrency=3) as connector:
        fetched = await fetch(connector)
    assert {record.external_id for record in fetched.records} == set(source.titles())


async def test_issues_that_go_while_one_second_is_paged_hide_no_other(source: SimulatedJira) -> None:
    ids = [source.create(f"Imported {number}") for number in range(40)]
    source.advance(60)

    def delete(page: int) -> None:
        source.site.delete(ids[page])

    source.server.add_fault(AfterPage(delete, skip=8, times=3))
    async with source.open() as connector:
        fetched = await fetch(connector)
    assert {record.external_id for record in fetched.records} >= set(source.titles())


async def test_the_time_zone_of_the_user_makes_no_difference() -> None:
    for zone in ("Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu"):
        with SimulatorServer(site_of(COUNT, time_zone=zone)) as server:
            source = SimulatedJira(server)
            copy = Copy(source.open)
            await copy.sync()
            source.advance(7200)
            issue_id = source.create("New")
            fetched = await copy.sync()
        assert issue_id in {record.external_id for record in fetched.records}
        assert len(fetched.records) < COUNT / 2
