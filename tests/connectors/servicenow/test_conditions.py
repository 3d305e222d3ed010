"""What a row may show of a filter's condition: every way in which the source itself finds it equal, and no other."""

import pytest

from integrations_api.connectors.servicenow.conditions import checkable
from integrations_api.connectors.servicenow.query import Range
from integrations_api.connectors.servicenow.verify import Promise


def holds_for(filter_text: str, value: str, label: str | None) -> bool:
    (condition,) = checkable(filter_text)
    row = {"sys_id": "a", condition.column: {"value": value, "display_value": value if label is None else label}}
    return not Promise(Range(), None, [condition]).strays([row])


@pytest.mark.parametrize(
    ("filter_text", "value", "label"),
    [
        ("active=1", "true", "Ja"),
        ("active=0", "false", "Nein"),
        ("categoryIN0,network", "Network ", None),
        ("u_city=Zurich", "Zürich", None),
        ("u_city=Zürich", "ZURICH", None),
        ("assignment_group=Network", "287ebd7da9fe198100f92cc8d1d2154e", "Network"),
        ("u_hours=5", "5.00", "5,00"),
        ("state=6", "", ""),  # hidden: tells nothing
    ],
)
def test_what_the_source_finds_equal_is_no_ignored_condition(filter_text: str, value: str, label: str | None) -> None:
    assert holds_for(filter_text, value, label)


@pytest.mark.parametrize(
    ("filter_text", "value", "label"),
    [
        ("active=1", "false", "Nein"),
        ("active=true", "false", "false"),
        ("u_city=Zurich", "Zug", None),
        ("assignment_group=Network", "287ebd7da9fe198100f92cc8d1d2154e", "Networkers"),
        ("u_hours=5", "50", "50"),
        ("stateIN1,2", "6", "Resolved"),
    ],
)
def test_another_value_is_an_ignored_condition(filter_text: str, value: str, label: str | None) -> None:
    assert not holds_for(filter_text, value, label)


@pytest.mark.parametrize("text", ["opened_at=2026-03-01", "opened_at=2026-03-01 10:00:00", "state=1^ORstate=2"])
def test_times_and_alternatives_are_left_to_the_source(text: str) -> None:
    assert checkable(text) == []
