"""Times as a session shows them, and as it means them."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from integrations_api.simulator.common.clock import parse_stamp

DEFAULT_FORMAT = "yyyy-MM-dd HH:mm:ss"
_JAVA_TO_C = (
    ("yyyy", "%Y"),
    ("MM", "%m"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("a", "%p"),
)


def local_to_utc(wall_seconds: int, zone: ZoneInfo) -> int:
    """A wall time (as if it were UTC seconds) read in a zone.

    Of a doubled hour the first is meant; a skipped one moves on.
    """
    naive = datetime.fromtimestamp(wall_seconds, UTC).replace(tzinfo=zone)
    return int(naive.timestamp())


@lru_cache(maxsize=64)
def c_format(java_format: str) -> str:
    """A Java date pattern, as user records hold them, as one for strftime."""
    text = java_format
    for java, c in _JAVA_TO_C:
        text = text.replace(java, c)
    return text


@lru_cache(maxsize=200_000)
def _shifted_hour(hour: str, zone: ZoneInfo) -> str | None:
    """The local `yyyy-MM-dd HH` of a UTC one; None where the zone is not whole hours away."""
    local = datetime.fromtimestamp(parse_stamp(f"{hour}:00:00"), zone)
    return local.strftime("%Y-%m-%d %H") if local.minute == 0 and local.second == 0 else None


def shown(text: str, zone: ZoneInfo, java_format: str) -> str:
    """A stored UTC time as a user with this zone and date format sees it. What is no time is shown as it is."""
    if not text:
        return ""
    try:
        if java_format == DEFAULT_FORMAT and (hour := _shifted_hour(text[:13], zone)):
            return hour + text[13:]
        return datetime.fromtimestamp(parse_stamp(text), zone).strftime(c_format(java_format))
    except ValueError:
        return text
