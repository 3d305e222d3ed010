"""What a row may show of a filter's condition: every way in which the source itself finds it equal, and no other."""

import pytest

from integrations_api.connectors.servicenow.conditions import checkable
from integrations_api.connectors.servicenow.query import Range
from integrations_api.connectors.servicenow.verify import Promise


def holds_for(filter_text: str, value: str, label: str | None) -> bool:
    (clause,) = checkable(filter_text)
    row = {"sys_id": "a", clause[0].column: {"value": value, "display_value": value if label is None else label}}
    return not Promise(Range(), None, [clause]).strays([row])


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
        ("priority<=2", "2", "2 - High"),
        ("priority<=2", "10", "ten of a text"),  # texts compare otherwise than numbers
        ("priority<=2", "high", "High"),
        ("state!=7", "6", "Resolved"),
        ("stateNOT IN6,7", "1", "New"),
        ("short_descriptionLIKEVPN", "The vpn drops", None),
        ("short_descriptionLIKEcafe", "No Wi-Fi in the CAFÉ", None),
        ("descriptionLIKEcafe", f"{'u' * 98}, cafe\u0301", None),
        ("assigned_toLIKEbeth", "6816f79cc0a8016401c5a33be04be441", "Beth Anglin"),
        ("numberSTARTSWITHinc", "INC0010001", None),
        ("activeISEMPTY", "false", "false"),
        ("state=1^ORstate=2", "2", "In Progress"),
        ("state=1^ORpriority=2", "6", "Resolved"),  # the other column is hidden
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
        ("priority<=2", "3", "3 - Moderate"),
        ("reopen_count>0", "0", "0"),
        ("state=1^ORstateIN2,3^ORstate>7", "6", "Resolved"),
        ("state!=7", "7", "Closed"),
        ("stateNOT IN6,7", "7", "Closed"),
        ("short_descriptionLIKEvpn", "No Wi-Fi in the café", None),
        ("numberENDSWITH5", "INC0010001", None),
        ("assigned_toISEMPTY", "6816f79cc0a8016401c5a33be04be441", "Beth Anglin"),
    ],
)
def test_another_value_is_an_ignored_condition(filter_text: str, value: str, label: str | None) -> None:
    assert not holds_for(filter_text, value, label)


@pytest.mark.parametrize(
    "text",
    [
        "opened_at=2026-03-01", "opened_at>2026-03-01 10:00:00", "u_cost<=5", "u_wordLIKEx", "u_a=1^ORu_b=2",
        "state=1^ORresolved_at>2026-03-01 10:00:00",
        "numberLIKEINC_1", "short_descriptionLIKE50%", "priority<two", "assigned_toISNOTEMPTY", "assigned_toDYNAMICme",
    ],
)  # fmt: skip
def test_what_leaves_a_doubt_is_left_to_the_source(text: str) -> None:
    assert checkable(text) == []
