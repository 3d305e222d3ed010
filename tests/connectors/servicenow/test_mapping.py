"""The mapping: what of a row becomes a document, and what is tolerated."""

from typing import Any

import orjson
import pytest

from integrations_api.connectors.errors import RecordRejected
from integrations_api.connectors.records import JsonObject, MappedDocument
from integrations_api.connectors.servicenow.config import ColumnChoice
from integrations_api.connectors.servicenow.mapping import choose, map_record, read_record

LINK = "https://i.service-now.com/incident.do?sys_id="
SYS_ID = "46e18c0fa9fe19810066a0083f76bd56"


def both(value: Any, shown: Any = None) -> JsonObject:
    return {"value": value, "display_value": value if shown is None else shown}


def row(**columns: Any) -> dict[str, Any]:
    """A row with the least that is needed; columns as (value, label), a text for both, or anything else as it is."""
    given = {
        name: both(*column) if isinstance(column, tuple) else both(column) if isinstance(column, str) else column
        for name, column in columns.items()
    }
    return {"sys_id": both(SYS_ID), "number": both("INC0010001")} | given


def mapped(**columns: Any) -> MappedDocument:
    return map_record(read_record(row(**columns)), LINK)


def test_a_document_is_what_a_person_would_search() -> None:
    document = mapped(
        short_description="VPN drops every hour",
        description="Since Monday.\r\nAll of Berlin.",
        cause="Expired certificate",
        close_notes="Certificate renewed.",
    )

    assert document.number == "INC0010001"
    assert document.title == "VPN drops every hour"
    assert (
        document.text
        == "Since Monday.\nAll of Berlin.\n\nCause: Expired certificate\n\nResolution: Certificate renewed."
    )
    assert document.attributes["resolution"] == "Certificate renewed."
    assert document.url == LINK + SYS_ID


def test_codes_stand_beside_labels_and_ids_beside_names() -> None:
    attributes = mapped(
        state=("6", "Resolved"),
        assigned_to=("6816f79cc0a8016401c5a33be04be441", "Beth Anglin"),
        caller_id=("abc", "Ada"),
    ).attributes

    assert attributes == {
        "state": "Resolved", "state_code": "6",
        "assigned_to": "Beth Anglin", "assigned_to_id": "6816f79cc0a8016401c5a33be04be441",
        "caller": "Ada", "caller_id": "abc",
    }  # fmt: skip


def test_times_counts_and_flags_have_their_types() -> None:
    attributes = mapped(
        opened_at=("2026-03-01 10:30:00", "01.03.2026 11:30"),
        reopen_count="2",
        reassignment_count=("1200", "1,200"),
        active="false",
        made_sla=("true", "wahr"),
    ).attributes

    assert attributes == {
        "opened_at": "2026-03-01T10:30:00Z",
        "reopen_count": 2,
        "reassignment_count": 1200,
        "active": False,
        "made_sla": True,
    }


def test_what_changes_without_content_is_left_out() -> None:
    before = mapped(sys_updated_on="2026-03-01 10:30:00", sys_mod_count="1", sys_updated_by="a")
    after = mapped(sys_updated_on="2026-03-02 10:30:00", sys_mod_count="2", sys_updated_by="b")
    assert before == after


def test_columns_of_administrators_become_attributes() -> None:
    attributes = mapped(
        u_business_unit=("17", "Retail"),
        u_since=("2026-03-01 10:30:00", "x"),
        u_word="plain",
        u_empty="",
        **{"caller_id.email": "a@b"},
    ).attributes

    assert attributes == {
        "u_business_unit": "Retail", "u_business_unit_code": "17", "u_since": "2026-03-01T10:30:00Z", "u_word": "plain",
        "caller_id.email": "a@b",
    }  # fmt: skip


@pytest.mark.parametrize("shown", ["2026-03-01", "01-03-2026", "03/01/2026", "1.3.2026", "01-Mrz-2026"])
def test_a_day_is_kept_as_it_is_stored_whatever_the_format_of_who_asks(shown: str) -> None:
    assert mapped(u_ends_on=("2026-03-01", shown)).attributes == {"u_ends_on": "2026-03-01"}


def test_a_choice_whose_code_is_a_day_keeps_its_label() -> None:
    attributes = mapped(u_release=("2026-03-01", "March release")).attributes
    assert attributes == {"u_release": "March release", "u_release_code": "2026-03-01"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_column_is_not_hidden_by_the_code_of_another(order: int) -> None:
    columns = [("u_region", ("17", "North")), ("u_region_code", "EU-N")][::order]
    assert mapped(**dict(columns)).attributes == {"u_region": "North", "u_region_code": "EU-N"}


def test_a_duration_is_no_time_of_1970() -> None:
    attributes = mapped(
        business_duration=("1970-01-01 08:00:00", "8 Hours"),
        calendar_duration=("1970-02-03 00:30:00", "33 Tage 30 Minuten"),
        u_born=("1970-01-01 08:00:00", "01.01.1970 09:00"),
    ).attributes

    assert attributes == {
        "business_duration": "8 Hours", "business_duration_code": "1970-01-01 08:00:00",
        "calendar_duration": "33 Tage 30 Minuten", "calendar_duration_code": "1970-02-03 00:30:00",
        "u_born": "1970-01-01T08:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize("odd", [None, 7, 2.5, True, [], ["x"], {}, {"a": 1}, {"value": None, "display_value": None},
                                 {"value": 3, "display_value": ["x"]}, {"link": "https://x"}])  # fmt: skip
@pytest.mark.parametrize("column", ["short_description", "state", "assigned_to", "opened_at", "reopen_count", "active",
                                    "work_notes", "sys_updated_on", "u_thing"])  # fmt: skip
def test_fields_of_a_wrong_type_are_tolerated(column: str, odd: Any) -> None:
    document = mapped(**{column: odd})
    orjson.dumps([document.title, document.text, document.attributes])


def test_bare_values_are_read_like_objects() -> None:
    record = read_record({"sys_id": SYS_ID, "number": "INC1", "sys_updated_on": "2026-03-01 10:30:00", "state": "6"})
    document = map_record(record, LINK)
    assert (document.number, document.attributes["state"], record.updated_at is not None) == ("INC1", "6", True)


@pytest.mark.parametrize("number", [None, "", " \n", {"value": "", "display_value": ""}])
def test_a_record_without_a_number_is_rejected_with_its_reason(number: Any) -> None:
    record = read_record({"sys_id": SYS_ID, "number": number})
    with pytest.raises(RecordRejected, match="number"):
        map_record(record, LINK)


@pytest.mark.parametrize("raw", [{}, {"sys_id": ""}, {"sys_id": None}, {"sys_id": {"value": ""}}, {"number": "INC1"}])
def test_a_record_without_an_id_is_rejected_with_its_reason(raw: dict[str, Any]) -> None:
    with pytest.raises(RecordRejected, match="sys_id"):
        read_record(raw)


@pytest.mark.parametrize("text", ["a\r\nb", "a\nb", "a\x00b", "a\x1b[31mb", "a\u2028b", " a\tb "])
def test_numbers_and_titles_stand_on_one_line(text: str) -> None:
    document = mapped(number=text, short_description=text)
    assert len(document.number.splitlines()) == 1
    assert document.number.isprintable()
    assert document.title == document.number


def test_other_alphabets_and_emoji_pass_unharmed() -> None:
    title = "طابعة لا تعمل 🖨️ – 打印机"
    assert mapped(short_description=title).title == title


def chosen(*fields: ColumnChoice, **columns: Any) -> MappedDocument:
    return map_record(read_record(row(**columns)), LINK, choose(fields))


def test_a_column_can_be_kept_in_the_text_where_it_is_searched() -> None:
    document = chosen(
        ColumnChoice("u_shop_floor", "text"),
        ColumnChoice("u_store"),
        ColumnChoice("category", "text"),
        description="It is dark.",
        cause="Fuse",
        u_shop_floor=("2", "Second\r\nfloor"),
        u_store="Osaka 2",
        category=("network", "Network"),
    )

    assert document.text == "It is dark.\n\nCause: Fuse\n\nShop floor: Second\nfloor\n\nCategory: Network"
    assert document.attributes == {"u_store": "Osaka 2", "category": "Network", "category_code": "network"}


def test_a_column_can_be_kept_in_both_places() -> None:
    document = chosen(ColumnChoice("u_store", "text"), ColumnChoice("u_store"), u_store="Osaka 2")

    assert (document.text, document.attributes) == ("Store: Osaka 2", {"u_store": "Osaka 2"})


def test_a_column_that_is_left_out_otherwise_is_kept_when_it_is_chosen() -> None:
    assert mapped(sys_created_by="ada").attributes == {}
    assert chosen(ColumnChoice("sys_created_by"), sys_created_by="ada").attributes == {"sys_created_by": "ada"}


def test_a_chosen_journal_is_kept_although_its_value_is_always_empty() -> None:
    told = "2026-03-01 12:00:00 - Ada (Vendor notes)\nSent to Osaka.\n\n"
    document = chosen(
        ColumnChoice("u_vendor_notes"),
        ColumnChoice("comments_and_work_notes"),
        ColumnChoice("resolved_by"),
        u_vendor_notes=("", told),
        comments_and_work_notes=("", told),
        resolved_by=("", "(empty)"),
        u_not_chosen=("", told),
    )
    assert document.attributes == {"u_vendor_notes": told, "comments_and_work_notes": told}


def test_choosing_what_is_kept_anyway_changes_nothing() -> None:
    columns = {"description": "It is dark.", "caller_id": ("abc", "Ada"), "cause": "Fuse"}

    document = chosen(
        ColumnChoice("description", "text"), ColumnChoice("cause", "text"), ColumnChoice("caller_id"), **columns
    )

    assert document == mapped(**columns)


def test_a_chosen_column_that_is_empty_or_missing_leaves_no_trace() -> None:
    assert chosen(ColumnChoice("u_a", "text"), ColumnChoice("u_b", "text"), u_a="").text == ""
