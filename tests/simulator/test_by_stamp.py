"""Questions about a row's own times are answered from a kept order: they must say what looking at every row says."""

from random import Random

import pytest

from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.selection import Selection
from integrations_api.simulator.servicenow.table import Row

STAMPS = ("sys_created_on", "sys_updated_on")


@pytest.fixture(params=[(), (60,), (5,), (60, 5, 5)], ids=str)
def instance(request: pytest.FixtureRequest) -> ServiceNowInstance:
    """Incidents of which many share a time and one has none; so many were changed since they were sorted, in turns."""
    instance = ServiceNowInstance.with_incidents(60)
    for number in range(240):  # Small ones: of the others each makes up its whole life when it is changed.
        instance.create({"number": f"INC{number:07}"})
    random = Random(4)
    for sys_id in instance.sys_ids():
        _stamp(instance, sys_id, random)
    instance.update(instance.sys_ids()[0], dict.fromkeys(STAMPS, ""), touch=False)
    for changes in request.param:
        _selected(instance, "ORDERBYsys_updated_on").page(0, 1)  # the order is kept from here on
        _selected(instance, "sys_created_on>2026-03-01 10:00:00").count()
        _change(instance, changes, random)
    return instance


def _change(instance: ServiceNowInstance, changes: int, random: Random) -> None:
    deleted, renamed, *stamped = random.sample(instance.sys_ids()[1:], changes - 1)
    instance.delete(deleted)
    instance.rename(renamed, renamed[::-1])
    for sys_id in stamped:
        _stamp(instance, sys_id, random)
    instance.create({"number": "INC9000001"})


@pytest.mark.parametrize("column", STAMPS)
@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("value", ["", "2026-03-01", "2026-03-01 10:00:00", "2026-03-01 10:00:07", "2030-01-01"])
def test_a_bound_counts_the_rows_that_it_admits(
    instance: ServiceNowInstance, column: str, operator: str, value: str
) -> None:
    counted = _selected(instance, f"{column}{operator}{value}").count()
    # A second condition that holds for all has every row looked at.
    assert counted == _selected(instance, f"{column}{operator}{value}^sys_idISNOTEMPTY").count()


@pytest.mark.parametrize("column", STAMPS)
@pytest.mark.parametrize("direction", ["ORDERBY", "ORDERBYDESC"])
def test_an_order_by_time_keeps_equal_times_by_id(instance: ServiceNowInstance, column: str, direction: str) -> None:
    ordered = _selected(instance, f"{direction}{column}").page(0, 1000)
    assert _ids(ordered) == _ids(_selected(instance, f"sys_idISNOTEMPTY^{direction}{column}").page(0, 1000))
    assert len(ordered) == 300


def test_what_was_updated_since_comes_by_id(instance: ServiceNowInstance) -> None:
    ids = instance.sys_ids()
    first, last, since = ids[20], ids[-20], "2026-03-01 10:00:16"
    found = _selected(instance, f"sys_updated_on>={since}^sys_id>{first}^sys_id<={last}^ORDERBYsys_id").page(0, 1000)
    updated = [sys_id for sys_id in ids if instance.row(sys_id).sys_updated_on >= since]
    assert 0 < len(updated) < len(ids) / 4
    assert _ids(found) == [sys_id for sys_id in updated if first < sys_id <= last]


def _selected(instance: ServiceNowInstance, query: str) -> Selection:
    return instance.select("incident", instance.parse("incident", query))


def _ids(rows: list[Row]) -> list[str]:
    return [row.sys_id for row in rows]


def _stamp(instance: ServiceNowInstance, sys_id: str, random: Random) -> None:
    """Writes both times of a row, as an import would."""
    at = f"2026-03-01 10:00:{random.randrange(20):02}"
    instance.update(sys_id, dict.fromkeys(STAMPS, at), touch=False)
