"""When a scheduled integration is next due: five-field cron in a time zone. Pure."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from integrations_api.errors import FieldProblem, InvalidInput

_BY_CHANCE = re.compile(r"\b[hr]\b", re.IGNORECASE)
"""H and R are croniter's own: a time that is drawn anew whenever it is asked for."""
_FIVE_FIELDS = "must be five fields: minute hour day month weekday, such as 0 6 * * 1-5"
_VALUES = {
    "a minute": "0 to 59",
    "an hour": "0 to 23",
    "a day": "1 to 31",
    "a month": "1 to 12",
    "a weekday": "0 (Sunday) to 7",
}


class Schedule(Struct, frozen=True):
    """A checked schedule."""

    cron: str
    time_zone: str

    def next_after(self, moment: datetime) -> datetime:
        """The first due time after a moment, in UTC.

        What a clock change skips is due right after it; what falls into an hour that comes twice is due in both.
        """
        from croniter import croniter  # With the first schedule: most processes start without one.

        local = moment.astimezone(ZoneInfo(self.time_zone))
        due: datetime = croniter(self.cron, local).get_next(datetime)
        return due.astimezone(UTC)


def read_schedule(cron: str, time_zone: str, *, now: datetime) -> Schedule:
    """Checks an expression and a zone. Raises `InvalidInput`."""
    from croniter import CroniterBadDateError

    expression = " ".join(cron.split())
    if problem := _problem_of(expression):
        raise InvalidInput.of([FieldProblem("cron", problem)])
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput.of([FieldProblem("time_zone", "must be a zone such as Europe/Berlin or UTC")]) from None
    schedule = Schedule(cron=expression, time_zone=time_zone)
    try:
        schedule.next_after(now)
    except CroniterBadDateError:
        raise InvalidInput.of([FieldProblem("cron", "names a day that never comes")]) from None
    return schedule


def _problem_of(expression: str) -> str | None:
    """What is wrong with the fields of an expression; None where it can be read."""
    fields = expression.split(" ")
    if len(fields) != len(_VALUES):
        return _FIVE_FIELDS
    for place, (name, values) in enumerate(_VALUES.items()):
        alone = ["*"] * place + [fields[place]] + ["*"] * (len(_VALUES) - place - 1)
        if not _can_be_read(" ".join(alone)):
            return f"has {name} that cannot be read: {values}, in a list, range or step, or *"
    return None if _can_be_read(expression) else _FIVE_FIELDS


def _can_be_read(expression: str) -> bool:
    from croniter import croniter

    return _BY_CHANCE.search(expression) is None and croniter.is_valid(expression)
