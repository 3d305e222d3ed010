"""A company's issues, the same for the same seed; and time passing in them."""

from collections import Counter
from random import Random

from msgspec import Struct

from integrations_api.simulator.common.clock import Clock, ManualClock
from integrations_api.simulator.common.dice import Dice
from integrations_api.simulator.company import people
from integrations_api.simulator.company.catalogue import THEMES, Problem, Theme
from integrations_api.simulator.company.talk import ENDINGS, REPLIES
from integrations_api.simulator.company.words import Words

from .instance import OWNER, GitHubInstance
from .model import Issue

DAY = 86_400
SPAN_DAYS = 300
SECONDS_BETWEEN = 45
REPOSITORIES = ("platform", "service-desk", "business-apps")
LOGINS = tuple(person["user_name"].replace(".", "-") for person in people.AGENTS)
PRIORITIES = ("priority: critical", "priority: high", "priority: medium", "priority: low")
STEPS = ("new", "comment", "label", "assign", "close", "reopen", "edit", "pull", "delete", "transfer")
WEIGHTS = (16, 30, 10, 12, 14, 3, 6, 5, 2, 2)


class Tale(Struct, frozen=True):
    """What an issue is about."""

    theme: Theme
    problem: Problem
    words: Words
    dice: Dice

    @classmethod
    def of(cls, name: str) -> "Tale":
        dice = Dice(f"{name}:tale")
        theme = dice.pick(THEMES)
        return cls(theme, dice.pick(theme.problems), Words(name), dice)

    def title(self) -> str:
        return self.dice.pick(self.problem.titles).format_map(self.words)

    def body(self) -> str:
        return (self.dice.pick(self.problem.details) + self.dice.pick(ENDINGS)).format_map(self.words)

    def remark(self) -> str:
        said = (*self.problem.notes, *self.problem.comments, *REPLIES)
        return self.dice.pick(said).format_map(self.words)

    def labels(self) -> tuple[str, ...]:
        found = [f"area/{self.theme.category}", self.dice.pick(("bug", "bug", "enhancement", "question"))]
        return tuple([*found, self.dice.pick(PRIORITIES)] if self.dice.percent(60) else found)


def with_issues(count: int, *, seed: int = 1, clock: Clock | None = None) -> GitHubInstance:
    """Three repositories with so many issues between them, and pull requests (a third as many); all before now."""
    instance = GitHubInstance(clock)
    for name in REPOSITORIES:
        instance.add_repository(name)
    for name in ("playground", "handbook"):
        instance.add_repository(name)
    instance.switch_issues(f"{OWNER}/handbook", on=False)
    extra = count // 3
    until = instance.clock.now() - 60
    order = Dice(f"{seed}:order")
    begun = sorted(until - order.below(SPAN_DAYS * DAY) for _ in range(count + extra))
    left = count
    for index, created in enumerate(begun):
        is_pull = order.below(count + extra - index) >= left
        left -= not is_pull
        _lived(instance, f"{seed}:{index}", created, until, is_pull=is_pull)
    instance.archive(f"{OWNER}/business-apps")
    return instance


def _lived(instance: GitHubInstance, name: str, created: int, until: int, *, is_pull: bool) -> None:
    tale = Tale.of(name)
    dice = Dice(f"{name}:life")
    title = f"Fix: {tale.title()}" if is_pull else tale.title()
    issue_id = instance.create(
        f"{OWNER}/{dice.pick(REPOSITORIES)}", title, body=tale.body(), author=dice.pick(LOGINS),
        labels=tale.labels(), is_pull=is_pull, at=created,
    )  # fmt: skip
    at = created
    for _ in range(dice.below(5)):
        at = min(until, at + dice.between(600, 6 * DAY))
        instance.comment(issue_id, tale.remark(), author=dice.pick(LOGINS), at=at)
    if dice.percent(50):
        instance.update(issue_id, assignees=(dice.pick(LOGINS),), at=at)
    if dice.percent(65):
        at = min(until, at + dice.between(600, 9 * DAY))
        reason = dice.pick(("completed", "completed", "completed", "not_planned", "duplicate"))
        instance.update(issue_id, state="closed", state_reason=reason, closed=at, at=at)


def evolve(instance: GitHubInstance, steps: int, seed: int = 1) -> dict[str, int]:
    """Does `steps` changes and says how many of each kind. The same for the same instance, steps and seed."""
    random = Random(seed)
    done: Counter[str] = Counter()
    for step in range(steps):
        if isinstance(instance.clock, ManualClock):
            instance.clock.advance(random.randint(1, 2 * SECONDS_BETWEEN))
        with instance.lock:
            done[_step(instance, random, f"evolve:{seed}:{step}:{random.random()}")] += 1
    return dict(done)


def _step(instance: GitHubInstance, random: Random, name: str) -> str:
    what = random.choices(STEPS, WEIGHTS)[0]
    tale = Tale.of(name)
    living = [issue for issue in instance.by_id.values() if not issue.is_pull]
    open_to = [one.full_name for one in instance.repositories.values() if one.has_issues and not one.is_archived]
    if what in ("new", "pull") or not living:
        instance.create(
            random.choice(open_to), tale.title(), body=tale.body(), author=random.choice(LOGINS),
            labels=tale.labels(), is_pull=what == "pull",
        )  # fmt: skip
        return what
    _change(instance, random, what, random.choice(living), tale, open_to)
    return what


def _change(instance: GitHubInstance, random: Random, what: str, issue: Issue, tale: Tale, open_to: list[str]) -> None:
    match what:
        case "comment":
            instance.comment(issue.id, tale.remark(), author=random.choice(LOGINS))
        case "label":
            kept = [label for label in issue.labels if not label.startswith("priority")]
            instance.update(issue.id, labels=(*kept, random.choice(PRIORITIES)))
        case "assign":
            instance.update(issue.id, assignees=(random.choice(LOGINS),))
        case "close":
            instance.close(issue.id, reason=random.choice(("completed", "not_planned")))
        case "reopen":
            instance.reopen(issue.id)
        case "edit":
            instance.update(issue.id, title=tale.title())
        case "delete":
            instance.delete(issue.id)
        case "transfer":
            instance.transfer(issue.id, random.choice(open_to))
