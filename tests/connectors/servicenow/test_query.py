"""Encoded queries as plain values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations_api.connectors.servicenow.connector import _lower_bound
from integrations_api.connectors.servicenow.lanes import Since
from integrations_api.connectors.servicenow.measure import TimeLiteral
from integrations_api.connectors.servicenow.query import (
    Range,
    any_of,
    clauses_of,
    filter_problem,
    joined,
    lanes,
    midpoint,
    quoted,
    read_stamp,
    stamp,
)

MOMENT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


def test_a_query_is_joined_from_what_there_is() -> None:
    assert joined("active=true", "", Range("ab").condition(), "ORDERBYsys_id") == "active=true^sys_id>ab^ORDERBYsys_id"


@pytest.mark.parametrize(
    ("given_range", "condition"),
    [
        (Range(), ""),
        (Range("4"), "sys_id>4"),
        (Range("4", True), "sys_id>=4"),
        (Range("4", False, "8"), "sys_id>4^sys_id<=8"),
        (Range("", False, "8"), "sys_id<=8"),
        (Range("a^b"), "sys_id>a^^b"),
    ],
)
def test_a_range_is_said_with_the_conditions_it_needs(given_range: Range, condition: str) -> None:
    assert given_range.condition() == condition
    assert Range.from_json(given_range.as_json()) == given_range


def test_carets_in_values_are_doubled_and_commas_keep_out_of_lists() -> None:
    assert quoted("a^b") == "a^^b"
    assert any_of("sys_id", ["a", "b"]) == "sys_idINa,b"
    assert any_of("sys_id", ["a,b", "c"]) == "sys_id=a,b^ORsys_id=c"


def test_times_are_written_in_utc_and_moved_by_a_shift() -> None:
    assert stamp(MOMENT) == "2026-03-01 10:30:00"
    assert stamp(MOMENT, timedelta(hours=-8)) == "2026-03-01 02:30:00"


@pytest.mark.parametrize(
    "text", ["", "2026-03-01", "2026-03-01T10:30:00Z", "01.03.2026 10:30:00", "nonsense", "2026-13-01 00:00:00"]
)
def test_what_is_no_utc_stamp_is_none(text: str) -> None:
    assert read_stamp(text) is None


def test_a_stamp_reads_back() -> None:
    assert read_stamp(stamp(MOMENT)) == MOMENT


@pytest.mark.parametrize(
    "text",
    ["", "active=true", "active=true^priority<=2", "state=1^ORstate=2^active=true", "short_descriptionLIKEa^^b",
     "assignment_group.name=Network", "stateIN1,2,3", "closed_atISEMPTY", "active=true^EQ", "u_region!=EMEA",
     "short_descriptionSTARTSWITHORDER", "sys_created_on>=2026-01-01 00:00:00"],
)  # fmt: skip
def test_ordinary_filters_are_fine(text: str) -> None:
    assert filter_problem(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ORDERBYnumber", "ORDERBY"),
        ("active=true^ORDERBYDESCsys_id", "ORDERBY"),
        ("active=true^NQstate=1", "NQ"),
        ("sys_created_onONToday@javascript:gs.beginningOfToday()@x", "javascript:"),
        ("sys_created_by=Java Script:1", "javascript:"),
        ("^active=true", "empty condition"),
        ("active=true^", "empty condition"),
        ("a=1^^^b=2^", "empty condition"),
        ("ORactive=true", "begin with OR"),
        ("active", "cannot be read"),
        ("Active=true", "cannot be read"),
        ("active=true^nonsense", "cannot be read"),
        ("active=true^GROUPBYstate", "GROUPBY"),
        ("active=true\n", "line breaks"),
        ("a=" + "x" * 3000, "longer"),
    ],
)
def test_a_filter_that_could_load_the_wrong_set_is_refused_in_words(text: str, words: str) -> None:
    assert words in (filter_problem(text) or "")


def test_clauses_hold_their_alternatives_together() -> None:
    found = clauses_of("state=1^ORstate=2^active=true^numberSTARTSWITHINC^ORnumberENDSWITH7^EQ")
    assert [[(c.column, c.operator, c.value) for c in clause] for clause in found] == [
        [("state", "=", "1"), ("state", "=", "2")],
        [("active", "=", "true")],
        [("number", "STARTSWITH", "INC"), ("number", "ENDSWITH", "7")],
    ]


IDS = st.text(st.sampled_from("0123456789abcdefABCDEFxyz"), min_size=1, max_size=32)


@given(low=IDS, high=IDS)
def test_a_midpoint_lies_between_its_bounds(low: str, high: str) -> None:
    low, high = sorted((low.lower(), high.lower()))
    middle = midpoint(low, high)
    if middle is None:
        assert high.rstrip("0") == low.rstrip("0") or len(high) >= 32
    else:
        assert low < middle <= high


@given(low=IDS, sys_id=IDS)
def test_halves_cover_a_range_without_gap_or_overlap(low: str, sys_id: str) -> None:
    halves = Range(low.lower()).halves()
    assert halves is not None
    first, second = halves
    assert (first.low, second.high) == (low.lower(), None)
    assert first.high == second.low
    assert not second.includes_low


@given(count=st.integers(1, 16), sys_id=IDS)
def test_every_id_lies_in_exactly_one_lane(count: int, sys_id: str) -> None:
    folded = sys_id.casefold()
    homes = [part for part in lanes(count).values() if folded > part.low and (part.high is None or folded <= part.high)]
    assert len(homes) == 1


@pytest.mark.parametrize(
    ("shift", "proved_at", "literal", "floor"),
    [
        (0, "2026-03-02", "2026-03-01 10:30:00", "2026-03-01 10:30:00"),
        (0, "2026-03-30", "2026-03-01 09:30:00", "2026-03-01 08:30:00"),  # London's clocks are forward by then
        (0, "2026-03-23", "2026-03-01 09:30:00", "2026-03-01 08:30:00"),  # and Casablanca's, after Ramadan
        (-8, "2026-03-02", "2026-03-01 01:30:00", "2026-03-01 08:30:00"),
    ],
)
def test_a_lower_bound_in_a_sessions_zone_leaves_room_for_a_clock_that_was_put_forward_or_back(
    shift: int, proved_at: str, literal: str, floor: str
) -> None:
    proved = TimeLiteral(timedelta(hours=shift), datetime.fromisoformat(f"{proved_at}T10:00:00+00:00"))
    assert _lower_bound(MOMENT, proved) == Since(literal, floor)
