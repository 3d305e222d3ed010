"""The encoded query, evaluated over a table of six people."""

import pytest

from integrations_api.simulator.company.people import GROUP_ID
from integrations_api.simulator.servicenow.columns import INCIDENT, TABLES
from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.query import UnsupportedQueryError, parse, split_terms

RECORDS = {
    "a": {
        "short_description": "Mail is down",
        "priority": "1",
        "active": "true",
        "sys_updated_on": "2026-01-01 00:00:00",
    },
    "B": {
        "short_description": "mail is slow",
        "priority": "3",
        "active": "true",
        "sys_updated_on": "2026-01-02 00:00:00",
    },
    "c": {"short_description": "VPN", "priority": "10", "active": "false", "sys_updated_on": "2026-01-03 00:00:00"},
    "d": {"short_description": "a^b", "priority": "2", "active": "false", "sys_updated_on": "2026-01-03 12:00:00"},
    "e": {"short_description": "", "priority": "", "active": "true", "sys_updated_on": "2026-01-04 00:00:00"},
    "F": {
        "short_description": "Mail, VPN",
        "priority": "5",
        "active": "false",
        "sys_updated_on": "2026-01-05 00:00:00",
    },
}


@pytest.fixture
def store() -> ServiceNowInstance:
    made = ServiceNowInstance()
    group = GROUP_ID["Service Desk"]
    for sys_id, values in RECORDS.items():
        made.create({"sys_id": sys_id, "assignment_group": group if sys_id in "aB" else "", **values})
    return made


def found(store: ServiceNowInstance, query: str) -> str:
    selection = store.select("incident", store.parse("incident", query))
    rows = selection.page(0, 100)
    assert selection.count() == len(rows)
    return "".join(row.sys_id for row in rows)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "aBcdeF"),
        ("priority=1", "a"),
        ("priority!=1", "BcdeF"),
        ("priority>2", "BcF"),
        ("priority>=2", "BcdF"),
        ("priority<3", "ad"),
        ("priority<=3", "aBd"),
        ("short_descriptionLIKEMAIL", "aBF"),
        ("short_descriptionNOT LIKEmail", "cde"),
        ("short_descriptionSTARTSWITHmail is", "aB"),
        ("short_descriptionENDSWITHvpn", "cF"),
        ("short_descriptionISEMPTY", "e"),
        ("short_descriptionISNOTEMPTY", "aBcdF"),
        ("short_description=", "e"),
        ("priorityIN1,3,10", "aBc"),
        ("priorityNOT IN1,3,10", "deF"),
        ("active=true", "aBe"),
        ("active=1", "aBe"),
        ("active=true^priority=3", "B"),
        ("priority=1^ORpriority=3", "aB"),
        ("active=true^priority=1^ORpriority=10", "a"),
        ("active=false^NQpriority=1", "acdF"),
        ("priority=1^NQpriority=2^NQpriority=3", "aBd"),
        ("sys_updated_on>=2026-01-03 12:00:00", "deF"),
        ("sys_updated_on>2026-01-03 12:00:00", "eF"),
        ("sys_updated_on<2026-01-02", "a"),
        ("sys_id=b", "B"),
        ("sys_idINf,A,zz", "aF"),
        ("sys_id>b", "cdeF"),
        ("sys_id>B", "cdeF"),
        ("sys_id>=b^sys_id<F", "Bcde"),
        ("sys_id>B^sys_id<=f", "cdeF"),
        ("assignment_group.nameISNOTEMPTY", "aB"),
        ("assignment_group.nameLIKEservice", "aB"),
        ("short_description=a^^b", "d"),
        ("short_descriptionLIKE^^", "d"),
        ("active=true^EQ", "aBe"),
        ("^active=true", "aBe"),
    ],
)
def test_selects_the_rows_that_match(store: ServiceNowInstance, query: str, expected: str) -> None:
    assert found(store, f"{query}^ORDERBYsys_id" if query else "ORDERBYsys_id") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ORDERBYsys_id", "aBcdeF"),
        ("ORDERBYDESCsys_id", "FedcBa"),
        ("sys_id>b^ORDERBYDESCsys_id", "Fedc"),
        ("ORDERBYpriority", "eadBFc"),
        ("ORDERBYDESCpriority", "cFBdae"),
        ("ORDERBYactive^ORDERBYDESCsys_updated_on", "FdceBa"),
        ("ORDERBYshort_description", "edaBFc"),
    ],
)
def test_sorts_by_columns_in_sequence(store: ServiceNowInstance, query: str, expected: str) -> None:
    assert found(store, query) == expected


@pytest.mark.parametrize(
    "term", ["sys_idd>b", "u_nothing=1", "Active=true", "activeequals", "nonsense", "caller_id.nothing=1"]
)
def test_drops_what_it_does_not_know_in_silence_as_the_real_one_does(store: ServiceNowInstance, term: str) -> None:
    assert found(store, f"{term}^ORDERBYsys_id") == "aBcdeF"


def test_answers_no_rows_to_an_invalid_term_when_the_property_says_so(store: ServiceNowInstance) -> None:
    store.invalid_query_returns_no_rows = True

    assert found(store, "sys_idd>b") == ""
    assert found(store, "sys_id>e") == "F"


@pytest.mark.parametrize(
    "query",
    [
        "sys_created_onBETWEEN2026-01-01@2026-02-01",
        "sys_created_onRELATIVEGT@hour@ago@1",
        "sys_created_onONToday@javascript:gs.beginningOfToday()",
        "caller_idDYNAMIC90d1921e5f510100a9ad2572f2b477fe",
        "short_descriptionANYTHING",
        "stateSAMEASincident_state",
        "sys_created_on>javascript:gs.daysAgo(1)",
        "GROUPBYcategory",
        "work_notesLIKEvpn",
    ],
)
def test_refuses_loudly_what_servicenow_has_and_the_simulator_has_not(store: ServiceNowInstance, query: str) -> None:
    with pytest.raises(UnsupportedQueryError):
        found(store, query)


def test_a_doubled_caret_stands_for_one_within_a_value() -> None:
    assert split_terms("a=1^^2^b=3") == ["a=1^2", "b=3"]


def test_an_alternative_binds_to_the_condition_before_it() -> None:
    query = parse("active=true^priority=1^ORpriority=2^state=6", INCIDENT.get)

    assert [len(clause) for clause in query.groups[0]] == [1, 2, 1]


def test_every_reference_leads_to_a_table_that_exists_or_is_a_domain() -> None:
    targets = {column.reference for columns in TABLES.values() for column in columns.values() if column.reference}

    assert targets - set(TABLES) == {"domain"}
