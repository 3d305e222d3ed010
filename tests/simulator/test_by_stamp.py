"""Questions about a row's own times are answered from a kept order: they must say what looking at every row says."""

from random import Random

import pytest

from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.selection import Selection
from integrations_api.simulator.servicenow.table import Row

STAMPS = ("sys_created_on", "sys_updated_on")


@pytest.fixture
def instance() -> ServiceNowInstance:
    """Incidents of which many share a time, one has none, and some were changed or deleted since they were sorted."""
    instance = ServiceNowInstance.with_incidents(300)
    random = Random(4)
    every = instance.sys_ids()
    for sys_id in every:
        _stamp(instance, sys_id, f"2026-03-01 10:00:{random.randrange(20):02}")
    _selected(instance, "ORDERBYsys_updated_on").page(0, 1)  # the order is kept from here on
    _selected(instance, "sys_created_on>2026-03-01 10:00:00").count()
    for sys_id in random.sample(every, 40):
        _stamp(instance, sys_id, f"2026-03-01 10:00:{random.randrange(20):02}")
    for sys_id in random.sample(every, 10):
        instance.delete(sys_id)
    instance.create({"number": "INC9000001"})
    _stamp(instance, instance.sys_ids()[0], "")
    return instance


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
    assert len(ordered) == 291


def _selected(instance: ServiceNowInstance, query: str) -> Selection:
    return instance.select("incident", instance.parse("incident", query))


def _ids(rows: list[Row]) -> list[str]:
    return [row.sys_id for row in rows]


def _stamp(instance: ServiceNowInstance, sys_id: str, at: str) -> None:
    """Writes both times of a row, as an import would."""
    instance.row(sys_id).change(dict.fromkeys(STAMPS, at))
    instance.incidents.changed()
