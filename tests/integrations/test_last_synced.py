"""`config.lastSynced` and the watermark. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations_api.errors import InvalidInput
from integrations_api.integrations.last_synced import SyncPosition, after_edit, at_creation, take_last_synced

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SYNCED = datetime(2026, 3, 1, 10, 30, 0, 700_000, tzinfo=UTC)
WATERMARK = datetime(2026, 3, 1, 10, 25, tzinfo=UTC)
AT_REST = SyncPosition(watermark=WATERMARK, shown=SYNCED, needs_full=False)


def edited(sent: datetime | None, **facts: Any) -> SyncPosition:
    return after_edit(sent, **{"before": AT_REST, "last_synced_at": SYNCED, "source_changed": False, **facts})


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T10:30:00Z",
        "2026-03-01T10:30:00.999Z",
        "2026-03-01T11:30:00+01:00",
        "2026-03-01T10:30:00",
        "2026-03-01 10:30:00",
    ],
)
def test_every_spelling_of_a_time_is_read_as_utc_in_whole_seconds(text: str) -> None:
    rest, moment = take_last_synced({"url": "x", "lastSynced": text, "z": 1}, now=NOW)

    assert moment == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
    assert rest == {"url": "x", "z": 1}


@pytest.mark.parametrize("config", [{}, {"lastSynced": None}])
def test_none_sent_is_none(config: dict[str, Any]) -> None:
    assert take_last_synced(config, now=NOW) == ({}, None)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("yesterday", "ISO 8601"),
        ("", "ISO 8601"),
        (1772361000, "ISO 8601"),
        (["2026-03-01T10:30:00Z"], "ISO 8601"),
        ("0001-01-01T00:00:00+14:00", "ISO 8601"),
        ("********", "ISO 8601"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("2026-03-01T12:00:01Z", "future"),
        ("2026-03-01T12:30:00-01:00", "future"),
    ],
)
def test_anything_but_a_past_time_is_refused(sent: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        take_last_synced({"lastSynced": sent}, now=NOW)

    assert refused.value.problems[0].field == "config.lastSynced"


def test_at_creation_it_is_the_start_of_the_first_sync() -> None:
    assert at_creation(WATERMARK) == SyncPosition(watermark=WATERMARK, shown=WATERMARK, needs_full=False)
    assert at_creation(None) == SyncPosition(watermark=None, shown=None, needs_full=False)


def test_an_edit_without_it_hides_it_and_leaves_the_watermark() -> None:
    assert edited(None) == SyncPosition(watermark=WATERMARK, shown=None, needs_full=False)


def test_the_time_of_the_last_sync_sent_back_changes_nothing() -> None:
    same = SYNCED.replace(microsecond=0)

    assert edited(same) == SyncPosition(watermark=WATERMARK, shown=same, needs_full=False)


def test_it_changes_nothing_even_where_the_sources_clock_is_ahead_of_ours() -> None:
    ahead = SyncPosition(watermark=SYNCED + timedelta(minutes=10), shown=SYNCED, needs_full=False)

    assert edited(SYNCED.replace(microsecond=0), before=ahead).watermark == ahead.watermark


def test_an_earlier_time_moves_the_watermark_back() -> None:
    earlier = WATERMARK - timedelta(days=3)

    assert edited(earlier) == SyncPosition(watermark=earlier, shown=earlier, needs_full=False)


def test_a_later_time_never_moves_the_watermark_forward() -> None:
    later = SYNCED.replace(microsecond=0) + timedelta(minutes=30)

    assert edited(later) == SyncPosition(watermark=WATERMARK, shown=SYNCED.replace(microsecond=0), needs_full=False)


def test_before_the_first_sync_the_start_can_only_move_back() -> None:
    start = SyncPosition(watermark=WATERMARK, shown=WATERMARK, needs_full=False)
    earlier, later = WATERMARK - timedelta(days=1), WATERMARK + timedelta(minutes=1)

    assert edited(earlier, before=start, last_synced_at=None) == SyncPosition(earlier, earlier, needs_full=False)
    assert edited(later, before=start, last_synced_at=None) == start


def test_another_source_forgets_the_watermark_whatever_is_sent() -> None:
    sent = WATERMARK - timedelta(days=1)

    assert edited(sent, source_changed=True) == SyncPosition(watermark=None, shown=sent, needs_full=True)


def test_a_watermark_forgotten_is_not_brought_back_by_a_time_sent_later() -> None:
    forgotten = SyncPosition(watermark=None, shown=None, needs_full=True)

    assert edited(WATERMARK, before=forgotten) == SyncPosition(watermark=None, shown=WATERMARK, needs_full=True)
