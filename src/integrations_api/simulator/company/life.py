"""The life of a generated incident: what happened to it, and when."""

from collections.abc import Sequence
from typing import NamedTuple

from integrations_api.simulator.common.dice import Dice

DAY = 86_400
HOUR = 3_600
SPAN_DAYS = 400
HOURS_TO_RESOLVE = {"1": (1, 8), "2": (2, 30), "3": (6, 120), "4": (12, 240), "5": (24, 400)}


class Event(NamedTuple):
    """Something that happened: seconds since the epoch, and what."""

    at: int
    what: str


def office_time(moment: float) -> int:
    """Moves a moment within its day so that most fall into office hours; earlier stays earlier."""
    day, rest = divmod(moment, DAY)
    share = rest / DAY
    if share < 0.12:
        hours = share / 0.12 * 7
    elif share < 0.90:
        hours = 7 + (share - 0.12) / 0.78 * 11
    else:
        hours = 18 + (share - 0.90) / 0.10 * 6
    return int(day * DAY + hours * HOUR)


def live(dice: Dice, *, created: int, priority: str, until: int) -> list[Event]:
    """All that happened to an incident up to and including `until`, oldest first; the first event is its creation."""
    if dice.percent(3):
        story = [Event(created, "created"), Event(created + dice.between(600, 3 * DAY), "canceled")]
    else:
        story = _worked_on(dice, created, priority)
    return [event for event in story if event.at <= until] or [Event(until, "created")]


def _worked_on(dice: Dice, created: int, priority: str) -> list[Event]:
    low, high = HOURS_TO_RESOLVE[priority]
    resolved = created + dice.between(low * HOUR, high * HOUR)
    assigned = created + dice.between(120, max(240, (resolved - created) // 4))
    events = [Event(created, "created"), Event(assigned, "assigned")]
    steps = ["work_note", "comment", "work_note", "hold", "reply", "work_note"][: dice.between(1, 6)]
    gap = (resolved - assigned) // (len(steps) + 1)
    events += [Event(assigned + gap * n + dice.below(max(gap, 1)), what) for n, what in enumerate(steps, start=1)]
    events = [event for event in events if event.at <= resolved]
    events.append(Event(resolved, "resolved"))
    if dice.percent(5):
        events.append(Event(resolved + dice.between(HOUR, DAY), "reopened"))
        events.append(Event(resolved + 2 * DAY, "resolved"))
    events.append(Event(events[-1].at + (7 * DAY if dice.percent(70) else dice.between(HOUR, 3 * DAY)), "closed"))
    return events


def state_after(events: Sequence[Event]) -> str:
    """The state code an incident is in after its events."""
    state = "1"
    for event in events:
        match event.what:
            case "assigned" | "reply" | "reopened":
                state = "2"
            case "hold":
                state = "3"
            case "resolved":
                state = "6"
            case "closed":
                state = "7"
            case "canceled":
                state = "8"
    return state
