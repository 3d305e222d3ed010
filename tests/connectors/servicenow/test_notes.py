"""Journals and display times: what a session shows, brought back to UTC."""

import pytest

from integrations_api.connectors.records import Note
from integrations_api.connectors.servicenow.notes import notes_of
from integrations_api.connectors.servicenow.times import measured_zone, to_wire


@pytest.mark.parametrize(
    ("value", "shown", "note_shown", "note_utc"),
    [
        ("2026-03-01 10:30:00", "2026-03-01 10:30:00", "2026-03-01 11:00:00", "2026-03-01T11:00:00Z"),
        ("2026-03-01 10:30:00", "2026-03-01 02:30:00", "2026-03-01 03:00:00", "2026-03-01T11:00:00Z"),
        ("2026-03-01 20:30:00", "2026-03-02 02:15:00", "2026-03-02 02:00:00", "2026-03-01T20:15:00Z"),  # Kathmandu
        ("2026-03-21 10:30:00", "21-03-2026 11:30:00", "22-03-2026 09:00:00", "2026-03-22T08:00:00Z"),
        ("2026-03-21 10:30:00", "21/03/2026 11:30:00", "22/03/2026 09:00:00", "2026-03-22T08:00:00Z"),
        ("2026-03-21 10:30:00", "03/21/2026 11:30:00", "03/22/2026 09:00:00", "2026-03-22T08:00:00Z"),
        ("2026-03-21 10:30:00", "21.03.2026 11:30:00", "22.03.2026 09:00:00", "2026-03-22T08:00:00Z"),
        ("2026-03-21 22:30:00", "2026-03-21 10:30:00 PM", "2026-03-21 11:00:00 PM", "2026-03-21T23:00:00Z"),
        ("2026-03-21 10:30:59", "21.03.2026 11:30", "22.03.2026 09:00", "2026-03-22T08:00:00Z"),
        ("2026-03-04 10:30:00", "04/03/2026 11:30:00", "05/03/2026 09:00:00", "2026-03-05T08:00:00Z"),
        ("2026-07-13 10:30:00", "13-Jul-2026 16:00:00", "14-Jul-2026 10:29:21", "2026-07-14T04:59:21Z"),
        ("2026-07-13 10:30:00", "13 Jul 2026 04:00 PM", "14 Jul 2026 10:29 AM", "2026-07-14T04:59:00Z"),
    ],
)
def test_a_note_is_dated_in_utc_by_the_offset_measured_in_its_own_record(
    value: str, shown: str, note_shown: str, note_utc: str
) -> None:
    zone = measured_zone([(value, shown)])

    notes = notes_of({"work_notes": f"{note_shown} - Ada Byte (Work notes)\nRestarted.\n\n"}, zone)

    assert notes == [Note(note_utc, "Ada Byte", "work_notes", "Restarted.")]


def test_daylight_saving_is_told_by_the_nearest_time_of_the_record() -> None:
    zone = measured_zone(
        [("2026-01-10 12:00:00", "2026-01-10 13:00:00"), ("2026-07-10 12:00:00", "2026-07-10 14:00:00")]
    )
    block = "2026-07-11 09:00:00 - A (Work notes)\nsummer\n\n2026-01-11 09:00:00 - A (Work notes)\nwinter\n\n"

    notes = notes_of({"work_notes": block}, zone)

    assert [note.at for note in notes] == ["2026-07-11T07:00:00Z", "2026-01-11T08:00:00Z"]


@pytest.mark.parametrize("shown", ["", "yesterday", "2026-03-05 10:30:00", "2026-03-01 10:37:00", "1. März 2026 10:30"])
def test_a_time_that_cannot_be_placed_keeps_the_sources_words(shown: str) -> None:
    zone = measured_zone([("2026-03-01 10:30:00", shown)])

    notes = notes_of({"comments": "2026-03-01 11:00:00 - Ada (Additional comments)\nHello"}, zone)

    assert zone is None
    assert notes == [Note("2026-03-01 11:00:00", "Ada", "comments", "Hello")]


@pytest.mark.parametrize(
    ("at", "in_utc"), [("0001-01-01 00:00:00", "2026-03-01 05:30:00"), ("9999-12-31 23:59:59", "2026-03-01 15:30:00")]
)
def test_a_time_that_somebody_wrote_and_that_has_no_date_in_utc_stays_as_it_is(at: str, in_utc: str) -> None:
    zone = measured_zone([(in_utc, "2026-03-01 10:30:00")])

    notes = notes_of({"comments": f"2026-03-01 11:00:00 - Ada (Comments)\nHello\n\n{at} - Ada (Comments)\nAgain"}, zone)

    assert zone is not None
    assert [note.at for note in notes[1:]] == [at]


def test_comments_and_work_notes_stand_together_newest_first() -> None:
    zone = measured_zone([("2026-03-01 10:30:00", "2026-03-01 10:30:00")])
    journals = {
        "comments": "2026-03-01 12:00:00 - A (Additional comments)\nthird\n\n"
        "2026-03-01 10:00:00 - A (Additional comments)\nfirst\n\n",
        "work_notes": "2026-03-01 11:00:00 - B (Work notes)\nsecond\n\n",
    }

    notes = notes_of(journals, zone)

    assert [(note.kind, note.text) for note in notes] == [
        ("comments", "third"),
        ("work_notes", "second"),
        ("comments", "first"),
    ]


def test_text_within_a_note_is_kept_as_it_is() -> None:
    block = (
        "2026-03-01 12:00:00 - Ada (Work notes)\r\nfirst line\r\n\r\nsecond paragraph (see below)\r\n"
        "2026-03-01 11:00:00 - not a header (because) of the words after it\r\n\r\n"
        "2026-02-28 12:00:00 - Bob O'Neil - Smith (Work notes)\r\nolder\r\n\r\n"
    )

    notes = notes_of({"work_notes": block}, None)

    assert [note.author for note in notes] == ["Ada", "Bob O'Neil - Smith"]
    assert notes[0].text.startswith("first line\n\nsecond paragraph (see below)\n2026-03-01 11:00:00 - not a header")


def test_a_journal_without_headers_is_one_note_and_an_empty_one_is_none() -> None:
    assert notes_of({"comments": "just words", "work_notes": " \n"}, None) == [Note("", "", "comments", "just words")]


def test_a_label_with_parentheses_of_its_own_still_ends_a_header() -> None:
    block = (
        "2026-03-02 12:00:00 - Ada Byte (Contractor) (Additional comments (Customer visible))\nNewer\n\n"
        "2026-03-01 12:00:00 - Bob (Additional comments (Customer visible))\nOlder\n\n"
    )
    notes = notes_of({"comments": block}, None)
    assert [(note.author, note.text) for note in notes] == [("Ada Byte (Contractor)", "Newer"), ("Bob", "Older")]


def test_a_month_with_a_name_in_another_language_still_begins_a_header() -> None:
    block = "14-août-2026 10:29:21 - Ada (Notes)\nNewer\n\n13-juil.-2026 10:29:21 - Bob (Notes)\nOlder\n\n"
    notes = notes_of({"work_notes": block}, None)
    assert [(note.at, note.author, note.text) for note in notes] == [
        ("14-août-2026 10:29:21", "Ada", "Newer"),
        ("13-juil.-2026 10:29:21", "Bob", "Older"),
    ]


def test_a_label_in_another_language_does_not_change_the_kind() -> None:
    notes = notes_of({"work_notes": "2026-03-01 12:00:00 - Ada (Arbeitsnotizen)\nNeu gestartet"}, None)
    assert (notes[0].kind, notes[0].text) == ("work_notes", "Neu gestartet")


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        ("2026-03-01 10:30:00", "2026-03-01T10:30:00Z"),
        ("", ""),
        ("soon", "soon"),
        ("1970-01-01 08:00", "1970-01-01 08:00"),
    ],
)
def test_utc_values_leave_with_a_z(value: str, wire: str) -> None:
    assert to_wire(value) == wire
