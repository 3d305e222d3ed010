"""Each thing a GitHub can do to a reader; afterwards the copy equals the source, issue by issue."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations_api.connectors.errors import ConnectorError, RateLimited, Refused
from integrations_api.connectors.github import survey
from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import FetchRequest
from integrations_api.connectors.text import one_line, storable
from integrations_api.simulator.common.general_faults import Refusal
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.github import DEFAULT_TOKEN, OWNER, GitHubInstance, GitHubServer, Token
from integrations_api.simulator.github.messages import Call
from tests.connectors.copying import Copy, Ear, fetch
from tests.connectors.github.sources import ALL, APPS, DESK, PLATFORM, SimulatedGitHub, instance_of

pytestmark = pytest.mark.anyio

COUNT = 120
HANDBOOK = f"{OWNER}/handbook"


@pytest.fixture
def source() -> Iterator[SimulatedGitHub]:
    with GitHubServer(instance_of(COUNT)) as server:
        yield SimulatedGitHub(server)


def copy_of(source: SimulatedGitHub, **options: Any) -> Copy:
    return Copy(lambda: source.open(**({"page_size": 20, "budget": 3600} | options)))


def assert_equal(copy: Copy, source: SimulatedGitHub) -> None:
    """The copy holds every issue as it is now: number, title, state, time, and as many comments."""
    issues = {str(row["id"]): row for row in source.instance.listing()}
    assert set(copy.documents) == set(issues)
    for external_id, issue in issues.items():
        document, stamp = copy.documents[external_id], copy.stamps[external_id]
        assert document.number == issue["number"]
        assert document.title == one_line(storable(str(issue["title"])))
        assert document.attributes["state_code"] == issue["state"]
        assert len(document.notes) == issue["comments"]
        assert stamp == datetime.fromtimestamp(int(str(issue["updated"])), UTC)


class OtherShape(Refusal[GitHubInstance, Call]):
    """It answers, and not to what it was asked."""

    default_times = None

    def __init__(self, body: bytes, *, on: str = "graphql") -> None:
        super().__init__(on=on)
        self.body = body

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        return Answer(200, {"Content-Type": "application/json"}, self.body)


class Elsewhere(Refusal[GitHubInstance, Call]):
    """It does not know what it has just told of."""

    default_times = None

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        return Answer.json({"message": "Not Found", "status": "404"}, 404)


class Blocked(Refusal[GitHubInstance, Call]):
    """GitHub has taken a repository down; its owner's list still names it."""

    default_times = None

    def strikes(self, call: Call) -> bool:
        return call.path.startswith(f"/repos/{APPS}/")

    def answer(self, call: Call, instance: GitHubInstance) -> Answer:
        block = {"reason": "tos", "created_at": "2023-02-02T15:50:17Z", "html_url": "https://github.com/tos"}
        return Answer.json({"message": "Repository access blocked", "block": block}, 403)


def case(name: str, *, is_long: bool = False, **params: Any) -> Any:
    marks = [pytest.mark.long] if is_long else []
    return pytest.param(name, params, id=f"{name}-{params}", marks=marks)


PASSING = [
    case("primary_limit", times=2),
    case("primary_limit", status=429, times=3, on="graphql", is_long=True),
    case("primary_limit", skip=4, times=1, on="page", is_long=True),
    case("secondary_limit", times=3),
    case("secondary_limit", wait=45, status=429, times=2, on="page", is_long=True),
    case("graphql_limit", times=2),
    case("graphql_limit", times=2, on="comments", is_long=True),
    case("graphql_error", times=3),
    case("graphql_error", kind="INTERNAL", times=2, on="comments", is_long=True),
    case("hourly_limit", per_hour=12),
    case("server_error", status=502, times=3, on="page"),
    case("server_error", status=502, form="html", times=3, on="comments", is_long=True),
    case("server_error", status=503, times=3, on="any", is_long=True),
    case("web_page", times=2),
    case("truncated_json", share=0.5, times=3),
    case("truncated_json", at_byte=-1, on="comments", is_long=True),
    case("truncated_json", at_byte=0, on="graphql", is_long=True),
    case("reset_mid_body", share=0.5, times=2, on="any"),
    case("graphql_timeout", most=4),
    case("mutate_during_scan", updates=5, creates=2, deletes=2),
    case("mutate_during_scan", updates=12, creates=0, deletes=0, is_long=True),
    case("mutate_during_scan", updates=0, creates=0, deletes=6, is_long=True),
    case("same_second", count=45),
    case("odd_text", every=4),
    case("many_comments", count=230, issues=2),
    case("cursor_pages"),
    case("clock_skew", seconds=900),
    case("clock_skew", seconds=-900, is_long=True),
]


OF_THE_DATA = {"same_second", "odd_text", "many_comments", "cursor_pages", "clock_skew"}
"""Faults that are done once they are in force."""


@pytest.mark.parametrize(("name", "params"), PASSING)
async def test_nothing_is_lost_under(source: SimulatedGitHub, name: str, params: dict[str, Any]) -> None:
    copy = copy_of(source)
    fault = source.server.add_fault(name, **params)
    await copy.sync("full")
    assert fault.hits or name in OF_THE_DATA
    source.server.faults.clear()
    source.advance(600)
    await copy.sync()
    await copy.sync("full")
    assert_equal(copy, source)


async def test_a_second_that_fills_many_pages_is_read_whole_while_it_changes(source: SimulatedGitHub) -> None:
    source.server.add_fault("same_second", count=60)
    source.server.add_fault("mutate_during_scan", updates=4, creates=1, deletes=1)
    copy = copy_of(source, page_size=9)
    await copy.sync("full")
    source.server.faults.clear()
    source.advance(600)
    await copy.sync("full")
    assert_equal(copy, source)


@pytest.mark.parametrize("on", ["graphql", "page", "comments"])
@pytest.mark.parametrize("name", ["primary_limit", "secondary_limit"])
async def test_limits_are_waited_for_as_they_ask(source: SimulatedGitHub, name: str, on: str) -> None:
    source.server.add_fault(name, wait=40, times=1, on=on)
    ear = Ear()
    async with source.open(budget=3600, on_wait=ear) as connector:
        await fetch(connector)
    assert [wait.reason for wait in ear.heard] == ["GitHub asks to wait 40 s (rate limit)"]


@pytest.mark.parametrize(
    "options",
    [
        {"on": "page"},
        {"on": "graphql", "status": 200},
        {"on": "comments", "status": 200, "is_bare": True},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
async def test_a_secondary_limit_without_a_time_is_waited_for_longer_each_time(
    source: SimulatedGitHub, options: dict[str, Any]
) -> None:
    source.server.add_fault("secondary_limit", times=3, **options)
    ear = Ear()
    async with source.open(budget=3600, on_wait=ear) as connector:
        await fetch(connector)
        source.server.add_fault("secondary_limit", times=1, **options)
        await fetch(connector)
    assert [wait.seconds for wait in ear.heard] == [60, 120, 240, 60]


@pytest.mark.parametrize("kind", ["RATE_LIMIT", "RATE_LIMITED", ""])
async def test_the_hourly_limit_of_graphql_is_waited_for_whatever_it_is_called(
    source: SimulatedGitHub, kind: str
) -> None:
    source.server.add_fault("graphql_limit", wait=40, times=1, kind=kind)
    ear = Ear()
    async with source.open(budget=3600, on_wait=ear) as connector:
        await fetch(connector)
    assert [wait.reason for wait in ear.heard] == ["GitHub asks to wait 40 s (rate limit)"]


@pytest.mark.parametrize("config", [{"owner": OWNER}, {"repositories": ALL}], ids=["owner", "list"])
async def test_a_query_that_costs_more_than_one_may_is_asked_in_smaller_parts_at_once(
    source: SimulatedGitHub, config: dict[str, Any]
) -> None:
    source.config = config
    copy = copy_of(source)
    fault = source.server.add_fault("resource_limits", most=1)
    await copy.sync("full")
    async with source.open() as connector:
        counted = await connector.count(source.now())
    assert fault.hits
    assert counted.total == len(copy.documents)
    assert source.time.slept == []
    assert_equal(copy, source)


async def test_a_list_of_repositories_that_does_not_end_is_refused_and_not_cut_off(
    source: SimulatedGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "_MOST_PAGES", 2)
    source.server.add_fault("resource_limits", most=1)
    async with source.open() as connector:
        with pytest.raises(Refused, match="does not end"):
            await connector.start(FetchRequest("full", None))


async def test_a_limit_beyond_the_budget_ends_the_run_with_words(source: SimulatedGitHub) -> None:
    source.server.add_fault("primary_limit", wait=3000, times=1)
    async with source.open(budget=600) as connector:
        with pytest.raises(RateLimited) as caught:
            await connector.start(FetchRequest("full", None))
    assert "SYNC_RETRY_BUDGET" in str(caught.value.remedy)


async def test_a_server_error_does_not_wait_for_the_hourly_reset(source: SimulatedGitHub) -> None:
    source.server.add_fault("server_error", status=500, times=1)
    async with source.open(budget=60) as connector:
        await fetch(connector)
    assert sum(source.time.slept) < 10


async def test_full_reads_keep_within_the_budget_of_requests(source: SimulatedGitHub) -> None:
    async with source.open(page_size=100) as connector:
        await fetch(connector)
    issues, pulls = source.instance.counts()["issues"], source.instance.counts()["pull_requests"]
    assert source.server.log.total <= 1 + 4 * 2 + (issues + pulls) // 50


async def test_a_quiet_incremental_read_is_one_request(source: SimulatedGitHub) -> None:
    copy = copy_of(source, overlap="0s")
    await copy.sync("full")
    source.advance(86_400)
    copy.watermark = source.now()
    source.server.log.clear()
    fetched = await copy.sync()
    assert fetched.pages == []
    assert [request.path for request in source.server.log.requests] == ["/graphql"]


async def test_a_change_within_the_second_of_the_watermark_is_read(source: SimulatedGitHub) -> None:
    here = source.create("Changed before the sync")
    there = str(source.instance.create(DESK, "Changed after the sync"))
    copy = copy_of(source, overlap="0s")
    await copy.sync("full")
    source.update(there, "Changed in the same second")
    fetched = await copy.sync()
    assert {record.external_id for record in fetched.records} == {here, there}
    assert_equal(copy, source)


async def test_pages_that_have_not_changed_cost_nothing(source: SimulatedGitHub) -> None:
    source.server.add_fault("same_second", count=60)
    async with source.open(page_size=20) as connector:
        await fetch(connector)
    statuses = [request.status for request in source.server.log.requests if request.kind == "page"]
    assert 304 in statuses


async def test_a_long_way_through_pull_requests_is_a_step_now_and_then(source: SimulatedGitHub) -> None:
    for n in range(150):
        source.advance(1)
        source.instance.create(PLATFORM, f"Fix {n}", is_pull=True)
    async with source.open(page_size=2) as connector:
        fetched = await fetch(connector)
    bare = [page for page in fetched.pages if not page.records]
    assert len(bare) >= 3  # a run that goes without a step for long counts as stuck
    assert {record.external_id for record in fetched.records} == set(source.titles())


# ---- repositories that are renamed, moved, switched off


async def test_a_renamed_repository_is_read_on_and_told(source: SimulatedGitHub) -> None:
    source.config = {"repositories": ALL}
    copy = copy_of(source)
    await copy.sync("full")
    source.instance.rename_repository(PLATFORM, "foundation")
    fetched = await copy.sync("full")
    assert fetched.start.notes == [f"{PLATFORM} is called {OWNER}/foundation now: enter the new name"]
    assert_equal(copy, source)


async def test_a_repository_that_is_renamed_during_a_read_is_followed(source: SimulatedGitHub) -> None:
    source.config = {"repositories": ALL}
    async with source.open(page_size=20) as connector:
        start = await connector.start(FetchRequest("full", None))
        source.instance.rename_repository(PLATFORM, "foundation")
        seen = [record async for page in connector.pages(start, start.lanes) for record in page.records]
    assert {record.external_id for record in seen} == set(source.titles())


async def test_a_redirect_to_another_host_is_not_followed(source: SimulatedGitHub) -> None:
    source.server.add_fault("redirect", location="http://127.0.0.2:9/repositories/1/issues", on="page")
    async with source.open() as connector:
        with pytest.raises(Refused, match="redirects to another address"):
            await fetch(connector)


async def test_a_transferred_issue_is_a_new_document_and_the_old_one_left(source: SimulatedGitHub) -> None:
    source.config = {"repositories": ALL}
    copy = copy_of(source)
    await copy.sync("full")
    old = next(int(key) for key, one in copy.documents.items() if one.number.startswith(PLATFORM))
    new = source.instance.transfer(old, DESK)
    await copy.sync("full")
    assert copy.gone == {str(old): "out_of_filter"}
    assert copy.documents[str(new)].number.startswith(DESK)
    assert_equal(copy, source)


async def test_an_issue_that_was_made_a_pull_request_is_gone(source: SimulatedGitHub) -> None:
    copy = copy_of(source)
    await copy.sync("full")
    made, *_ = copy.documents
    source.instance.by_id[int(made)].is_pull = True
    source.touch(made)
    await copy.sync("full")
    assert copy.gone == {made: "out_of_filter"}
    assert_equal(copy, source)


async def test_issues_are_gone_for_the_reason_that_is_true(source: SimulatedGitHub) -> None:
    source.config = {"repositories": ALL}
    copy = copy_of(source)
    await copy.sync("full")
    deleted = next(key for key, one in copy.documents.items() if one.number.startswith(PLATFORM))
    source.delete(deleted)
    source.instance.switch_issues(DESK, on=False)
    source.config = {"repositories": [PLATFORM, DESK]}
    of_desk = {key for key, one in copy.documents.items() if one.number.startswith(DESK)}
    of_apps = {key for key, one in copy.documents.items() if one.number.startswith(APPS)}
    await copy.sync("full")
    expected = dict.fromkeys(of_desk, "no_longer_visible") | dict.fromkeys(of_apps, "out_of_filter")
    assert copy.gone == expected | {deleted: "deleted"}


async def test_a_repository_that_the_token_lost_is_no_longer_visible(source: SimulatedGitHub) -> None:
    copy = copy_of(source)
    await copy.sync("full")
    source.instance.hide_repository(APPS)
    await copy.sync("full")
    assert set(copy.gone.values()) == {"no_longer_visible"}
    assert_equal(copy, source)


async def test_a_repository_that_comes_into_sight_is_counted_at_once_and_read_by_a_full_sync(
    source: SimulatedGitHub,
) -> None:
    everything = source.instance.tokens[DEFAULT_TOKEN].repositories
    source.instance.hide_repository(APPS)
    copy = copy_of(source)
    await copy.sync("full")
    source.instance.tokens[DEFAULT_TOKEN].repositories = everything
    source.advance(3600)
    source.create("Changed since")
    await copy.sync()
    async with source.open() as connector:
        counted = await connector.count(source.now())
    assert counted.total == len(source.titles()) > len(copy.documents)
    assert counted.only_visible
    await copy.sync("full")
    assert_equal(copy, source)


async def test_a_repository_that_cannot_be_seen_fails_the_run_by_name(source: SimulatedGitHub) -> None:
    source.instance.hide_repository(APPS)
    async with source.open(owner=None, repositories=[PLATFORM, APPS, "nobody/nothing"]) as connector:
        with pytest.raises(Refused) as caught:
            await connector.start(FetchRequest("full", None))
    assert caught.value.message == f"Not found, or not visible to the token: {APPS}, nobody/nothing"
    assert "access to these repositories" in str(caught.value.remedy)


async def test_a_repository_without_issues_is_passed_by_and_told(source: SimulatedGitHub) -> None:
    async with source.open() as connector:
        start = await connector.start(FetchRequest("full", None))
    assert start.notes == [f"Issues are switched off in {HANDBOOK}: nothing is read there"]


async def test_issues_that_are_switched_off_during_a_read_end_their_repository(source: SimulatedGitHub) -> None:
    async with source.open(page_size=20) as connector:
        start = await connector.start(FetchRequest("full", None))
        source.instance.switch_issues(PLATFORM, on=False)
        seen = [record async for page in connector.pages(start, start.lanes) for record in page.records]
    assert {record.external_id for record in seen} == set(source.titles())


async def test_a_repository_of_the_owner_that_vanishes_during_a_read_ends_nothing_but_itself(
    source: SimulatedGitHub,
) -> None:
    """Whoever resumed the run would have stood before it again, and begun with all repositories anew."""
    async with source.open(page_size=20) as connector:
        start = await connector.start(FetchRequest("full", None))
        source.instance.hide_repository(PLATFORM)
        seen = [record async for page in connector.pages(start, start.lanes) for record in page.records]
    assert {record.external_id for record in seen} == set(source.titles())


async def test_a_repository_of_the_config_that_vanishes_during_a_read_fails_the_run_by_name(
    source: SimulatedGitHub,
) -> None:
    async with source.open(owner=None, repositories=ALL) as connector:
        start = await connector.start(FetchRequest("full", None))
        source.instance.hide_repository(PLATFORM)
        with pytest.raises(Refused, match=f"The repository {PLATFORM} was not found"):
            [page async for page in connector.pages(start, start.lanes)]


async def test_a_repository_that_is_only_not_found_is_not_passed_by(source: SimulatedGitHub) -> None:
    source.server.add_fault(Elsewhere(on="page"))
    async with source.open() as connector:
        with pytest.raises(Refused, match=r"was not found \(404\)"):
            await fetch(connector)


async def test_a_repository_that_github_has_blocked_is_passed_by(source: SimulatedGitHub) -> None:
    copy = copy_of(source)
    await copy.sync("full")
    blocked = {key for key, one in copy.documents.items() if one.number.startswith(f"{APPS}#")}
    source.server.add_fault(Blocked())
    source.create("Read all the same")

    await copy.sync("full")

    assert copy.gone == dict.fromkeys(blocked, "no_longer_visible")
    assert "Read all the same" in {one.title for one in copy.documents.values()}


# ---- rights


async def names_of_failed(connector: Connector) -> dict[str, str]:
    return {check.name: f"{check.seen} {check.remedy}" for check in await connector.check() if check.status == "failed"}


async def test_a_token_without_the_right_to_issues_is_refused_with_the_right_to_give(source: SimulatedGitHub) -> None:
    source.instance.tokens[DEFAULT_TOKEN].reads_issues = False
    async with source.open() as connector:
        with pytest.raises(Refused) as caught:
            await fetch(connector)
        failed = await names_of_failed(connector)
    assert "Issues, read-only" in str(caught.value.remedy)
    assert set(failed) == {"repositories"}


@pytest.mark.parametrize(("on", "check"), [("page", "issues"), ("graphql", "repositories")])
async def test_single_sign_on_is_named(source: SimulatedGitHub, on: str, check: str) -> None:
    source.server.add_fault("single_sign_on", on=on)
    async with source.open() as connector:
        with pytest.raises(Refused, match="single sign-on") as caught:
            await fetch(connector)
        assert "Configure SSO" in str(caught.value.remedy)
        assert "Configure SSO" in (await names_of_failed(connector))[check]


@pytest.mark.parametrize("on", ["page", "graphql"])
@pytest.mark.parametrize("what", ["address", "token"])
async def test_what_an_organizations_policy_refuses_is_not_taken_for_a_lack_of_rights(
    source: SimulatedGitHub, what: str, on: str
) -> None:
    source.server.add_fault("organization_policy", what=what, on=on)
    async with source.open() as connector:
        with pytest.raises(Refused, match="harbour-it") as caught:
            await fetch(connector)
    assert "administrator of the organization" in str(caught.value.remedy)


async def test_an_owner_that_is_not_there_is_refused(source: SimulatedGitHub) -> None:
    async with source.open(owner="nobody") as connector:
        with pytest.raises(Refused, match="The owner nobody was not found"):
            await connector.start(FetchRequest("full", None))


async def test_an_order_that_is_ignored_ends_the_run(source: SimulatedGitHub) -> None:
    source.server.add_fault("ignored_sort")
    async with source.open(page_size=20) as connector:
        with pytest.raises(Refused, match="ignored the order"):
            await fetch(connector)


async def test_issues_without_a_number_are_rejected_and_the_rest_goes_on(source: SimulatedGitHub) -> None:
    source.server.add_fault("unmappable", field="number", every=10)
    copy = copy_of(source)
    await copy.sync("full")
    assert copy.rejected
    assert set(copy.rejected.values()) == {"The issue has no number or no repository"}
    assert len(copy.rejected) + len(copy.documents) == len(source.titles())


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (Token(DEFAULT_TOKEN, scopes="repo, admin:org"), "may do more than reading: admin:org"),
        (Token(DEFAULT_TOKEN, expires=1772442000 + 5 * 86_400), "Expires on 2026-03-07"),
        (Token(DEFAULT_TOKEN, scopes="repo, workflow", expires=1772442000 + 5 * 86_400), "Expires on 2026-03-07"),
    ],
)
async def test_the_preflight_warns_of_a_token_that_is_too_wide_or_ends_soon(
    source: SimulatedGitHub, token: Token, words: str
) -> None:
    source.instance.tokens[DEFAULT_TOKEN] = token
    async with source.open() as connector:
        (check,) = [check for check in await connector.check() if check.name == "token"]
    assert check.status == "warning"
    assert words in check.seen


async def test_the_preflight_leaves_no_request_for_pull_requests_unsaid(source: SimulatedGitHub) -> None:
    async with source.open() as connector:
        (check,) = [check for check in await connector.check() if check.name == "duration"]
    assert check.seen.endswith(" requests, and one more for every 100 pull requests")


@pytest.mark.parametrize(("per_hour", "status"), [(18, "warning"), (19, "ok")])
async def test_the_preflight_warns_of_more_than_an_hour_allows(
    source: SimulatedGitHub, monkeypatch: pytest.MonkeyPatch, per_hour: int, status: str
) -> None:
    """A first sync would stop at the limit, and one that begins anew each time would never come to its end."""
    monkeypatch.setattr(source.server.simulator.limits, "per_hour", per_hour)
    async with source.open() as connector:
        (check,) = [check for check in await connector.check() if check.name == "duration"]
    assert check.status == status, check.seen
    assert ("SYNC_RETRY_BUDGET" in str(check.remedy)) is (status == "warning")


@pytest.mark.parametrize("held", ["null", "{}", "[1]", '{"repositories": {"nodes": [1]}}'])
async def test_a_graph_of_another_shape_is_trouble_in_words(source: SimulatedGitHub, held: str) -> None:
    source.server.add_fault(OtherShape(f'{{"data": {{"repositoryOwner": {held}}}}}'.encode()))
    async with source.open() as connector:
        with pytest.raises(ConnectorError):
            await connector.start(FetchRequest("full", None))
        assert "failed" in {check.status for check in await connector.check()}


@pytest.mark.parametrize(("on", "body"), [("page", b"null"), ("page", b"7"), ("graphql", b'{"data": {"viewer": [1]}}')])
async def test_the_preflight_of_a_source_that_answers_something_else_fails_in_words(
    source: SimulatedGitHub, on: str, body: bytes
) -> None:
    source.server.add_fault(OtherShape(body, on=on))
    async with source.open() as connector:
        assert "another shape" in " ".join((await names_of_failed(connector)).values())


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null"])
async def test_an_answer_that_is_no_issue_does_not_make_one_gone(source: SimulatedGitHub, body: bytes) -> None:
    copy = copy_of(source)
    await copy.sync("full")
    source.server.add_fault(OtherShape(body, on="issue"))
    async with source.open() as connector:
        with pytest.raises(ConnectorError, match="no issue"):
            await connector.confirm_gone({key: one.number for key, one in copy.documents.items()})


async def test_a_source_that_does_not_count_leaves_the_verdict_open(source: SimulatedGitHub) -> None:
    async with source.open() as connector:
        source.instance.tokens[DEFAULT_TOKEN].reads_issues = False
        counted = await connector.count(source.now())
    assert counted.total is None
    assert "did not count" in str(counted.why_unknown)


async def test_many_issues_created_after_the_bound_are_counted_out(source: SimulatedGitHub) -> None:
    bound = source.now()
    source.advance(60)
    for n in range(130):
        source.create(f"Later {n}")
    async with source.open() as connector:
        assert (await connector.count(bound)).total == COUNT
        start = await connector.start(FetchRequest("incremental", bound))
        assert (await connector.count_to_read(start)).total == 130
