"""The preflight: what each trouble looks like to an administrator, and what it tells to do."""

from collections.abc import Iterator
from typing import Any

import pytest

from integrations_api.connectors.records import Check
from integrations_api.simulator.servicenow import SimulatorServer
from tests.connectors.servicenow.sources import SimulatedServiceNow, instance_of

pytestmark = pytest.mark.anyio

NAMES = [
    "reachable", "signed in", "table", "fields", "filter and order", "time literal", "clock", "visible records",
    "journals", "delete log", "rate limit", "duration",
]  # fmt: skip


@pytest.fixture
def source() -> Iterator[SimulatedServiceNow]:
    with SimulatorServer(instance_of(60)) as server:
        yield SimulatedServiceNow(server)


async def checks_of(source: SimulatedServiceNow, **options: Any) -> dict[str, Check]:
    async with source.open(**options) as connector:
        return {check.name: check for check in await connector.check()}


async def test_a_good_source_passes_every_check_by_name(source: SimulatedServiceNow) -> None:
    checks = await checks_of(source)
    assert list(checks) == NAMES
    # The simulated source lives in March.
    assert {name: check.status for name, check in checks.items()} == dict.fromkeys(NAMES, "ok") | {"clock": "warning"}
    assert "60 records" in checks["table"].seen


TROUBLES = [
    ("rate_limited", {"kind": "seconds", "wait": 900, "on": "any"}, {}, "reachable", "failed", "Rate limit"),
    ("hibernating", {"on": "any"}, {}, "reachable", "failed", "hibernating"),
    ("server_error", {"status": 503, "times": None, "on": "any"}, {}, "reachable", "failed", "503"),
    ("forbidden", {}, {}, "table", "failed", "403"),
    (None, {}, {"table": "no_such_table"}, "table", "failed", "400"),
    (None, {}, {"wrong_password": True}, "signed in", "failed", "401"),
    ("hidden_fields", {"fields": "number+cause", "how": "missing"}, {}, "fields", "failed", "number"),
    ("hidden_fields", {"fields": "number", "how": "empty"}, {}, "fields", "failed", "number"),
    ("hidden_fields", {"fields": "description+location", "how": "missing"}, {}, "fields", "warning", "description"),
    ("hidden_fields", {"fields": "location", "how": "missing"}, {}, "fields", "ok", "without location, company"),
    (None, {}, {"fields": ["u_nonsense"]}, "fields", "warning", "u_nonsense"),
    ("query_range", {"column": "sys_id", "how": "drop"}, {}, "filter and order", "failed", "sys_id"),
    ("query_range", {"column": "sys_id", "how": "refuse"}, {}, "filter and order", "failed", "refused (403)"),
    ("query_acl_drops_sort", {"column": "sys_id"}, {}, "filter and order", "failed", "order"),
    (None, {}, {"filter": "u_wrong=1"}, "filter and order", "failed", "u_wrong"),
    ("ignored_term", {"column": "sys_updated_on"}, {}, "time literal", "failed", "sys_updated_on"),
    ("literal_in_session_zone", {}, {}, "time literal", "ok", "-8 h"),
    ("hidden_rows", {"percent": 30}, {}, "visible records", "warning", "Of the first 7 of 60 records, "),
    (None, {}, {"page_size": 60}, "visible records", "ok", "All of 60 records can be seen"),
    ("hidden_fields", {"fields": "comments+work_notes", "how": "empty"}, {}, "journals", "warning", "No comment"),
    (None, {}, {"filter": "number=none"}, "fields", "warning", "no record"),
]


@pytest.mark.parametrize(("fault", "params", "options", "name", "status", "seen"), TROUBLES)
async def test_each_trouble_is_named_with_what_was_seen_and_a_remedy(
    source: SimulatedServiceNow,
    fault: str | None,
    params: dict[str, Any],
    options: dict[str, Any],
    name: str,
    status: str,
    seen: str,
) -> None:
    if fault:
        source.server.add_fault(fault, **params)
    check = (await checks_of(source, **options))[name]
    assert (check.status, seen in check.seen) == (status, True), check
    assert status == "ok" or check.remedy


async def test_nothing_is_tried_after_a_failed_sign_in(source: SimulatedServiceNow) -> None:
    assert list(await checks_of(source, wrong_password=True)) == ["reachable", "signed in"]


async def test_a_delete_log_that_may_not_be_read_is_a_warning(source: SimulatedServiceNow) -> None:
    source.instance.revoke("delete_log_reader")
    check = (await checks_of(source))["delete log"]
    assert check.status == "warning"
    assert "sys_audit_delete" in (check.remedy or "")


async def test_the_preflight_only_reads(source: SimulatedServiceNow) -> None:
    before = source.instance.listing()
    await checks_of(source)
    assert {request.method for request in source.server.log.requests} == {"GET"}
    assert source.instance.listing() == before
    assert source.server.log.total < 20
