"""Incidents that read like a help desk's, generated from a count and a seed.

Everything about incident number n is a function of (seed, n), so nothing is kept: texts are made when somebody reads
them.
Times end at `until`, a fixed instant by default, so that a second start shows the same incidents with the same times.
"""

from typing import NamedTuple

from integrations_api.simulator.common.clock import parse_stamp, stamp
from integrations_api.simulator.common.dice import Dice
from integrations_api.simulator.common.dice import hex_id_for as sys_id_for
from integrations_api.simulator.company import people
from integrations_api.simulator.company.catalogue import THEMES, Problem, Theme
from integrations_api.simulator.company.life import DAY, SPAN_DAYS, Event, live, office_time, state_after
from integrations_api.simulator.company.people import Values
from integrations_api.simulator.company.talk import ASIDES, ENDINGS, HOLD_NOTES, REOPENINGS, REPLIES
from integrations_api.simulator.company.words import Words

GENERATED_UNTIL = "2026-02-28 18:00:00"
PRIORITY_OF = {
    ("1", "1"): "1",
    ("1", "2"): "2",
    ("2", "1"): "2",
    ("1", "3"): "3",
    ("2", "2"): "3",
    ("3", "1"): "3",
    ("2", "3"): "4",
    ("3", "2"): "4",
    ("3", "3"): "5",
}
IMPACTS = ("3",) * 11 + ("2",) * 6 + ("1",) * 3
URGENCIES = ("3",) * 9 + ("2",) * 8 + ("1",) * 3
BY_CALLER = ("self-service", "email")
BY_AGENT = ("phone", "walk-in", "monitoring")
CLOSE_CODES = ("Solution provided",) * 8 + ("Workaround provided", "Resolved by caller", "Known error", "User error")


class JournalEntry(NamedTuple):
    """A comment or work note: seconds since the epoch, `comments` or `work_notes`, who, and what was written."""

    at: int
    element: str
    author: str
    user_name: str
    text: str


class IncidentGenerator:
    """Makes incident 0 to count - 1 on demand."""

    def __init__(self, count: int, seed: int = 1, until: str = GENERATED_UNTIL) -> None:
        self.count = count
        self.seed = seed
        self.until = parse_stamp(until)
        self._last: tuple[int, Values, list[JournalEntry]] | None = None

    def sys_id(self, index: int) -> str:
        return sys_id_for(self.seed, "incident", index)

    def number(self, index: int) -> str:
        return f"INC{10_001 + index:07d}"

    def times(self, index: int) -> tuple[int, int]:
        """When it was created and last updated, in seconds since the epoch."""
        events = self._life(index)[2]
        return events[0].at, events[-1].at

    def _life(self, index: int) -> tuple[str, str, list[Event]]:
        dice = Dice(f"{self.seed}:{index}:life")
        impact, urgency = dice.pick(IMPACTS), dice.pick(URGENCIES)
        start = self.until - SPAN_DAYS * DAY
        created = office_time(start + (index + dice.below(1000) / 1000) / self.count * SPAN_DAYS * DAY)
        created = min(created, self.until)
        return impact, urgency, live(dice, created=created, priority=PRIORITY_OF[impact, urgency], until=self.until)

    def facts(self, index: int) -> Values:
        """The columns that need no text: state, priority, category, people, …"""
        return _Teller(self, index).facts()

    def told(self, index: int) -> tuple[Values, list[JournalEntry]]:
        """All columns that are not empty, as the database holds them, and the journal, oldest first. Read only."""
        # Writing a row asks for the columns, then for the journal: the last answer is kept for the second question.
        last = self._last
        if last is None or last[0] != index:
            teller = _Teller(self, index)
            last = self._last = (index, teller.values(), teller.journal())
        return last[1], last[2]


class _Teller:
    """Tells one incident: draws its theme, people and words once, then writes them down."""

    __slots__ = (
        "agent",
        "caller",
        "close_code",
        "contact_type",
        "events",
        "group",
        "impact",
        "index",
        "is_by_caller",
        "made_by",
        "problem",
        "theme",
        "urgency",
        "words",
    )

    def __init__(self, made_by: IncidentGenerator, index: int) -> None:
        self.made_by = made_by
        self.index = index
        self.impact, self.urgency, self.events = made_by._life(index)
        dice = Dice(f"{made_by.seed}:{index}:tale")
        self.theme: Theme = dice.pick(THEMES)
        self.problem: Problem = dice.pick(self.theme.problems)
        self.caller = dice.pick(people.CALLERS)
        self.group = self.theme.group if dice.percent(90) else "Service Desk"
        self.agent = dice.pick(people.AGENTS_OF[self.group])
        self.close_code = dice.pick(CLOSE_CODES)
        self.is_by_caller = dice.percent(60)
        self.contact_type = dice.pick(BY_CALLER if self.is_by_caller else BY_AGENT)
        self.words = Words(f"{made_by.seed}:{index}:words")

    def facts(self) -> Values:
        """What filters ask for most: everything that needs no text."""
        state = state_after(self.events)
        facts = {
            "state": state,
            "incident_state": state,
            "active": "false" if state in ("7", "8") else "true",
            "category": self.theme.category,
            "subcategory": self.theme.subcategory,
            "impact": self.impact,
            "urgency": self.urgency,
            "priority": PRIORITY_OF[self.impact, self.urgency],
            "severity": self.impact,
            "caller_id": self.caller["sys_id"],
            "contact_type": self.contact_type,
        }
        if len(self.events) > 1:
            facts["assigned_to"] = self.agent["sys_id"]
            facts["assignment_group"] = people.GROUP_ID[self.group]
        if state in ("6", "7"):
            facts["close_code"] = self.close_code
        return facts

    def values(self) -> Values:
        facts = self.facts()
        dice = Dice(f"{self.made_by.seed}:{self.index}:text")
        slots = self.words
        events = self.events
        return {
            "sys_id": self.made_by.sys_id(self.index),
            "number": self.made_by.number(self.index),
            "sys_created_on": stamp(events[0].at),
            "sys_updated_on": stamp(events[-1].at),
            "opened_at": stamp(events[0].at),
            "sys_mod_count": str(len(events) * 2 - 1 if len(events) > 1 else 0),
            **_CONSTANT,
            **facts,
            **self._surroundings(dice, slots),
            **self._progress(dice, facts["state"]),
            **self._words(dice, slots, facts["state"]),
        }

    def _surroundings(self, dice: Dice, slots: Words) -> Values:
        opened_by = self.caller if self.is_by_caller else dice.pick(people.AGENTS_OF["Service Desk"])
        return {
            "opened_by": opened_by["sys_id"],
            "sys_created_by": opened_by["user_name"],
            "sys_updated_by": opened_by["user_name"] if len(self.events) == 1 else self.agent["user_name"],
            "business_service": people.SERVICE_ID[dice.pick(self.theme.services)],
            "location": people.LOCATION_ID[slots["site"]],
            "u_business_unit": slots["team"],
            "due_date": stamp(self.events[0].at + 3 * DAY) if dice.percent(20) else "",
            "cmdb_ci": dice.pick(people.HOST_ROWS)["sys_id"] if dice.percent(45) else "",
            "problem_id": sys_id_for("problem", self.problem.titles[0]) if dice.percent(6) else "",
        }

    def _words(self, dice: Dice, slots: Words, state: str) -> Values:
        words = {
            "short_description": dice.pick(self.problem.titles).format_map(slots),
            "description": (dice.pick(self.problem.details) + dice.pick(ENDINGS)).format_map(slots),
        }
        if state in ("6", "7"):
            words["close_notes"] = dice.pick(self.problem.fixes).format_map(slots)
        return words

    def _progress(self, dice: Dice, state: str) -> Values:
        if len(self.events) == 1:
            return {}
        agent, last = self.agent["sys_id"], {event.what: event.at for event in self.events}
        progress = {
            "reassignment_count": str(dice.below(3)),
            "reopen_count": "1" if "reopened" in last else "0",
            "hold_reason": "1" if state == "3" else "",
        }
        if state in ("6", "7"):
            progress |= {
                "resolved_at": stamp(last["resolved"]),
                "resolved_by": agent,
                "calendar_stc": str(last["resolved"] - self.events[0].at),
                "calendar_duration": stamp(last["resolved"] - self.events[0].at),
            }
        if state in ("7", "8"):
            progress |= {"closed_at": stamp(self.events[-1].at), "closed_by": agent}
        return progress

    def journal(self) -> list[JournalEntry]:
        slots = self.words
        dice = Dice(f"{self.made_by.seed}:{self.index}:journal")
        entries = []
        for event in self.events:
            choice = _written(event.what, self.problem)
            if choice is None:
                continue
            element, texts, by_caller = choice
            author = self.caller if by_caller else self.agent
            text = dice.pick(texts).format_map(slots)
            entries.append(JournalEntry(event.at, element, author["name"], author["user_name"], text))
        return entries


_CONSTANT = {
    "sys_class_name": "incident",
    "sys_domain": "global",
    "approval": "not requested",
    "upon_approval": "proceed",
    "upon_reject": "cancel",
    "notify": "1",
    "escalation": "0",
    "knowledge": "false",
    "made_sla": "true",
    "reassignment_count": "0",
    "reopen_count": "0",
    "child_incidents": "0",
}


def _written(what: str, problem: Problem) -> tuple[str, tuple[str, ...], bool] | None:
    """What an event leaves in the journal: element, wordings, and whether the caller wrote it."""
    match what:
        case "work_note":
            return "work_notes", problem.notes + ASIDES[:2], False
        case "comment":
            return "comments", problem.comments, False
        case "hold":
            return "work_notes", HOLD_NOTES, False
        case "reply":
            return "comments", REPLIES, True
        case "reopened":
            return "comments", REOPENINGS, True
        case "assigned":
            return "work_notes", ASIDES, False
        case _:
            return None
