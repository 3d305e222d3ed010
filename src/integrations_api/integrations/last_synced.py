"""`config.lastSynced`: reading it, and what it does to the watermark. Pure.

The watermark belongs to the source fingerprint. A client can choose where the first sync starts and can move the
watermark back; it can never move it forward, for what lies between would be lost.
"""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from integrations_api.errors import FieldProblem, InvalidInput

KEY = "lastSynced"
_FIELD = f"config.{KEY}"
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class SyncPosition(Struct, frozen=True):
    """Where the next sync starts, and what `config.lastSynced` shows (None: it is absent)."""

    watermark: datetime | None
    shown: datetime | None
    needs_full: bool


def take_last_synced(config: dict[str, Any], *, now: datetime) -> tuple[dict[str, Any], datetime | None]:
    """The config without `lastSynced`, and its value in UTC, whole seconds.

    A time without a zone is UTC; null is as good as absent. Raises `InvalidInput` for anything but an ISO 8601
    time between 1970 and `now`.
    """
    rest = {key: value for key, value in config.items() if key != KEY}
    sent = config.get(KEY)
    return rest, None if sent is None else _parse(sent, now)


def _parse(sent: Any, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(sent)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise _wrong("must be an ISO 8601 time such as 2026-03-01T10:30:00Z") from None
    if moment < _EARLIEST:
        raise _wrong("must not be before 1970")
    if moment > now:
        raise _wrong("must not be in the future")
    return moment.replace(microsecond=0)


def _wrong(message: str) -> InvalidInput:
    return InvalidInput.of([FieldProblem(_FIELD, message)])


def at_creation(sent: datetime | None) -> SyncPosition:
    """What is sent is the start of the first sync; nothing sent: it reads everything."""
    return SyncPosition(watermark=sent, shown=sent, needs_full=False)


def after_edit(
    sent: datetime | None, *, before: SyncPosition, last_synced_at: datetime | None, source_changed: bool
) -> SyncPosition:
    """What an edit makes of the position it found.

    Another source makes the next run full. Otherwise the watermark moves back to `sent` where that is earlier; a
    watermark that is not there stays so: a full run reads from before any time that could be sent.
    """
    watermark = None if source_changed else before.watermark
    needs_full = source_changed or before.needs_full
    if sent is None:
        return SyncPosition(watermark, None, needs_full)
    if last_synced_at is not None:
        last_synced_at = last_synced_at.replace(microsecond=0)
    if sent != last_synced_at and watermark is not None:
        watermark = min(watermark, sent)
    return SyncPosition(watermark, min(sent, last_synced_at or watermark or sent), needs_full)
