"""Display times, read by measuring: what a session shows is compared with the UTC value beside it.

A display time has the user's own format and zone. Each record holds several times both ways; the format that gives
a possible zone for all of them is the right one, and the nearest of them tells the offset (daylight saving differs
within one record).
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

ISO = "%Y-%m-%d %H:%M:%S"
_DATES = (
    "%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d",
    "%d-%b-%Y", "%d/%b/%Y", "%d %b %Y",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%I:%M:%S %p", "%H:%M", "%I:%M %p", "%H.%M.%S", "%H.%M")
FORMATS = tuple(f"{date} {clock}" for date in _DATES for clock in _CLOCKS)

_IN_DIGITS, _WITH_A_NAME = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", r"\d{1,2}[-/ ][^\W\d_]{3,9}\.?[-/ ]\d{4}"
DAY = rf"(?:{_IN_DIGITS}|{_WITH_A_NAME})"
SHAPE = rf"{DAY} \d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?(?: ?[AaPp][Mm])?"
"""What a day and a time look like in any of the formats, as regular expressions; months' names are in any language."""

_WEST, _EAST = timedelta(hours=-12), timedelta(hours=14)
_STEP = timedelta(minutes=15)


class Zone(Struct, frozen=True):
    """How a session shows times: the format, and offsets from UTC measured at some moments.

    All times here are without a zone, as they are written.
    """

    format: str
    offsets: tuple[tuple[datetime, timedelta], ...]
    """(display time, offset) pairs; a single one where the offset is always the same."""

    def to_utc(self, shown: str) -> str | None:
        """The moment that a display time means, as times leave the service; None where it cannot be read, or has no
        date in UTC: a journal's text may hold anything that looks like a time.
        """
        local = _parse(shown, self.format)
        if local is None:
            return None
        nearest = self.offsets[0] if len(self.offsets) == 1 else min(self.offsets, key=lambda at: abs(at[0] - local))
        try:
            return f"{(local - nearest[1]).isoformat()}Z"
        except OverflowError:
            return None


def measured_zone(pairs: Iterable[tuple[str, str]]) -> Zone | None:
    """The zone that explains (value, display value) pairs of one record; None where none or several formats do."""
    known = [(moment, shown) for value, shown in pairs if shown and (moment := _parse(value, ISO)) is not None]
    if not known:
        return None
    if zone := _zone(known, ISO):
        return zone
    # A day that could be a month (03/04/2026) leaves two formats; the wrong one is mostly no possible zone.
    zones = [zone for form in FORMATS if (zone := _zone(known, form)) is not None]
    return zones[0] if len(zones) == 1 or _agree(zones) else None


def _agree(zones: list[Zone]) -> bool:
    return bool(zones) and all(zone.offsets == zones[0].offsets for zone in zones)


def _zone(known: list[tuple[datetime, str]], form: str) -> Zone | None:
    has_seconds = form == ISO or "%S" in form
    offsets = []
    for moment, shown in known:
        local = _parse(shown, form)
        if local is None:
            return None
        # A format without seconds cuts them off.
        offsets.append((local, local - (moment if has_seconds else moment.replace(second=0))))
    different = {offset for _, offset in offsets}
    if any(not _WEST <= offset <= _EAST or offset % _STEP for offset in different):
        return None
    return Zone(form, tuple(offsets if len(different) > 1 else offsets[:1]))


def _parse(text: str, form: str) -> datetime | None:
    try:
        if form == ISO:
            moment = datetime.fromisoformat(text)
            return moment if len(text) == 19 and moment.tzinfo is None else None
        return datetime.strptime(re.sub(r"(?<=\d)(?=[AaPp][Mm]$)", " ", text), form)  # noqa: DTZ007
    except ValueError:
        return None


def to_wire(value: str) -> str:
    """`2026-03-01 10:30:00` as `2026-03-01T10:30:00Z`; anything else as it is."""
    if len(value) == 19 and value[10] == " " and value[4] == value[7] == "-" and value[13] == value[16] == ":":
        return f"{value[:10]}T{value[11:]}Z"
    return value
