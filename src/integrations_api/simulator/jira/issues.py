"""Issues as a site holds them, and a catalogue of them made from a count and a seed."""

from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from integrations_api.simulator.common.clock import parse_stamp
from integrations_api.simulator.common.dice import Dice
from integrations_api.simulator.company import people
from integrations_api.simulator.company.catalogue import THEMES, Problem, Theme
from integrations_api.simulator.company.life import DAY, SPAN_DAYS, Event, live, office_time, state_after
from integrations_api.simulator.company.talk import ASIDES, ENDINGS, HOLD_NOTES, REOPENINGS, REPLIES
from integrations_api.simulator.company.words import Words

GENERATED_UNTIL = "2026-02-28 18:00:00"
FIRST_ID = 10_000
PROJECTS = {
    "OPS": "Service Operations",
    "NET": "Network and Access",
    "APP": "Business Applications",
    "WORK": "Workplace",
}
_PROJECT_OF = {"network": "NET", "software": "APP", "database": "APP", "hardware": "WORK"}
STATUSES = {
    "Open": ("1", "new", "To Do"),
    "In Progress": ("3", "indeterminate", "In Progress"),
    "Waiting for customer": ("10100", "indeterminate", "In Progress"),
    "Resolved": ("5", "done", "Done"),
    "Closed": ("6", "done", "Done"),
}
"""Name to id, and to the key and name of its category."""
_STATUS_OF = {
    "1": "Open",
    "2": "In Progress",
    "3": "Waiting for customer",
    "6": "Resolved",
    "7": "Closed",
    "8": "Closed",
}
PRIORITIES = {"Highest": "1", "High": "2", "Medium": "3", "Low": "4", "Lowest": "5"}
ISSUE_TYPES = {"Incident": "10001", "Service Request": "10002", "Bug": "10003", "Task": "10004"}
RESOLUTIONS = {"Done": "10000", "Won't Do": "10001", "Duplicate": "10002", "Cannot Reproduce": "10003"}
CUSTOM_FIELD = "customfield_10050"
"""A select list, "Business unit"."""
DETECTED = "customfield_10051"
"""A time, "Detected at"."""
SPRINT = "customfield_10020"
"""The sprints it was in."""


class Comment(Struct):
    """Times are milliseconds since the epoch; `is_public` False is a service desk's internal note."""

    id: str
    author: str
    created: int
    text: str
    is_public: bool = True


class Issue(Struct):
    """One issue. Times are milliseconds since the epoch, people are user names, texts are plain paragraphs."""

    id: str
    project: str
    number: int
    summary: str
    created: int
    updated: int
    reporter: str
    description: str = ""
    status: str = "Open"
    priority: str = "Medium"
    issue_type: str = "Incident"
    assignee: str = ""
    resolution: str = ""
    resolved: int = 0
    due: str = ""
    environment: str = ""
    business_unit: str = ""
    labels: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    comments: list[Comment] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.project}-{self.number}"

    def copy(self) -> "Issue":
        """As it is now; later changes leave the copy alone."""
        return replace(self, comments=list(self.comments))


def generated(count: int, *, seed: int = 1, until: str = GENERATED_UNTIL) -> Iterator[Issue]:
    """So many issues, oldest first, whose last change lies before `until` (UTC). The same for the same arguments."""
    numbers = dict.fromkeys(PROJECTS, 0)
    for index in range(count):
        teller = _Teller(index, count, seed, parse_stamp(until))
        numbers[teller.project] += 1
        yield teller.issue(numbers[teller.project])


class _Teller:
    """Tells one issue: draws its theme, people and words once, then writes them down."""

    def __init__(self, index: int, count: int, seed: int, until: int) -> None:
        self.index = index
        self.name = f"jira:{seed}:{index}"
        self.dice = Dice(self.name)
        self.theme: Theme = self.dice.pick(THEMES)
        self.problem: Problem = self.dice.pick(self.theme.problems)
        self.priority = self.dice.pick(("1", "2", "3", "3", "3", "4", "4", "5"))
        start = until - SPAN_DAYS * DAY
        created = office_time(start + (index + self.dice.below(1000) / 1000) / count * SPAN_DAYS * DAY)
        self.events = live(self.dice, created=min(created, until), priority=self.priority, until=until)
        self.project = _PROJECT_OF.get(self.theme.category, "OPS")
        self.caller = self.dice.pick(people.CALLERS)["user_name"]
        self.agent = self.dice.pick(people.AGENTS_OF[self.theme.group])["user_name"]
        self.words = Words(f"{self.name}:words")

    def issue(self, number: int) -> Issue:
        dice, problem, words = self.dice, self.problem, self.words
        state = state_after(self.events)
        status = _STATUS_OF[state]
        is_done = STATUSES[status][1] == "done"
        offset = self.index * 37 % 1000
        return Issue(
            id=str(FIRST_ID + self.index),
            project=self.project,
            number=number,
            summary=dice.pick(problem.titles).format_map(words),
            description=(dice.pick(problem.details) + dice.pick(ENDINGS)).format_map(words),
            created=self.events[0].at * 1000 + offset,
            updated=self.events[-1].at * 1000 + offset,
            reporter=self.caller,
            assignee=self.agent if len(self.events) > 1 else "",
            status=status,
            priority=list(PRIORITIES)[int(self.priority) - 1],
            issue_type=dice.pick(("Incident", "Incident", "Incident", "Service Request", "Bug", "Task")),
            resolution=dice.pick(("Done", "Done", "Done", "Duplicate", "Cannot Reproduce")) if is_done else "",
            resolved=self.events[-1].at * 1000 + offset if is_done else 0,
            environment=f"{words['device']}, {words['site']}" if dice.percent(20) else "",
            business_unit=words["team"],
            labels=(self.theme.subcategory,) if dice.percent(60) else (),
            components=(dice.pick(self.theme.services),),
            comments=list(self._comments(is_done)),
        )

    def _comments(self, is_done: bool) -> Iterator[Comment]:
        for position, event in enumerate(self.events):
            said = self._said(event, is_done and event is self.events[-1])
            if said is None:
                continue
            texts, author, is_public = said
            text = self.dice.pick(texts).format_map(self.words)
            yield Comment(f"{FIRST_ID + self.index}{position:02d}", author, event.at * 1000, text, is_public)

    def _said(self, event: Event, is_last: bool) -> tuple[tuple[str, ...], str, bool] | None:
        match event.what:
            case "work_note":
                return self.problem.notes + ASIDES[:2], self.agent, False
            case "comment":
                return self.problem.comments, self.agent, True
            case "hold":
                return HOLD_NOTES, self.agent, False
            case "reply":
                return REPLIES, self.caller, True
            case "reopened":
                return REOPENINGS, self.caller, True
            case "resolved" | "closed" if is_last:
                return self.problem.fixes, self.agent, True
            case _:
                return None
