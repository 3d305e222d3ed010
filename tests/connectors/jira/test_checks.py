"""The preflight names what is wrong and what can be done."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.connectors.records import Check
from integrations_api.simulator.jira import SimulatorServer
from tests.connectors.jira.sources import SimulatedJira, site_of

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["cloud", "datacenter"])
def source(request: pytest.FixtureRequest) -> Iterator[SimulatedJira]:
    with SimulatorServer(site_of(40, request.param)) as server:
        yield SimulatedJira(server)


async def checked(source: SimulatedJira, **options: Any) -> dict[str, Check]:
    async with source.open(**options) as connector:
        return {check.name: check for check in await connector.check()}


async def test_a_good_site_is_told_what_it_has(source: SimulatedJira) -> None:
    checks = await checked(source)

    assert list(checks) == [
        "reachable", "signed in", "issues", "fields", "order", "time literal", "clock", "comments", "deleted issues",
        "rate limit", "duration",
    ]  # fmt: skip
    assert {check.status for name, check in checks.items() if name != "clock"} == {"ok"}
    assert checks["signed in"].seen == "Signed in as Integration"
    assert checks["issues"].seen == "Issues can be read: about 40 by filter and projects"


@pytest.mark.parametrize(
    ("options", "name", "status", "seen", "remedy"),
    [
        ({"url": "http://127.0.0.1:9"}, "reachable", "failed", "Connection", "network"),
        ({"wrong_password": True}, "signed in", "failed", "401", "e-mail"),
        (
            {"wrong_password": True},
            "signed in",
            "failed",
            "401",
            "with scopes (as service accounts have) needs api_url",
        ),
        ({"projects": ["NOWHERE"]}, "issues", "failed", "'NOWHERE' does not exist", "projects"),
        ({"filter": "nonsense = 1"}, "issues", "failed", "Field 'nonsense'", "filter"),
        ({"filter": "summary ~ zebra"}, "issues", "warning", "No issue can be seen", "Browse Projects"),
        ({"fields": ["customfield_1"]}, "fields", "warning", "customfield_1", "ids of the custom fields"),
    ],
)
async def test_what_is_wrong_with_a_config_is_told_by_the_check_it_belongs_to(
    source: SimulatedJira, options: dict[str, Any], name: str, status: str, seen: str, remedy: str
) -> None:
    check = (await checked(source, **options))[name]

    assert check.status == status
    assert seen in check.seen
    assert remedy in str(check.remedy)


@pytest.mark.parametrize(
    ("fault", "options", "name", "status", "words"),
    [
        ("clock_skew", {"seconds": 40_000_000}, "clock", "warning", "ahead"),
        ("epoch_is_no_date", {}, "time literal", "warning", "every sync reads everything"),
        ("ignored", {"column": "order"}, "order", "failed", "order by created"),
        ("captcha", {}, "signed in", "failed", "CAPTCHA"),
        ("web_page", {"times": None}, "reachable", "failed", "web page"),
        ("credentials_expire", {"form": "anonymous"}, "issues", "failed", "Sign-in was refused"),
    ],
)
async def test_what_is_wrong_with_a_site_is_told_by_the_check_it_belongs_to(
    source: SimulatedJira, fault: str, options: dict[str, Any], name: str, status: str, words: str
) -> None:
    source.server.add_fault(fault, **options)

    check = (await checked(source))[name]

    assert check.status == status
    assert words in check.seen
    assert check.remedy
