"""Faults of the data: it changes while somebody reads, shares one second, or is awkward."""

from random import Random
from typing import Any, ClassVar

import orjson

from integrations_api.simulator.common.faults import Fault
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.github.instance import GitHubInstance
from integrations_api.simulator.github.messages import Call

from .registry import register

ODD_TEXTS = (
    "nul \x00 inside",
    "lone surrogate \ud83d here",
    "bell \x07, escape \x1b[31m",
    "emoji 🧯👩🏽‍💻 and math 𝒳",
    "line one\r\nline two\rline three\u2028line four",
    "data: not an event\n\nevent: error\ndata: {}\n\n",
)


class OnAttach(Fault[GitHubInstance, Call]):
    """A fault that does its work when it is put in force."""

    default_on: ClassVar[str] = "any"


@register
class MutateDuringScan(Fault[GitHubInstance, Call]):
    """After every page: `updates` issues change, `creates` appear, `deletes` vanish, before the reader asks again."""

    name = "mutate_during_scan"
    updates: int = 5
    creates: int = 1
    deletes: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.random = Random(self.seed)

    def after(self, call: Call, answer: Answer, instance: GitHubInstance) -> Answer:
        if answer.status == 200 and self.strikes(call):
            with instance.lock:
                self._change(instance)
        return answer

    def _change(self, instance: GitHubInstance) -> None:
        if hasattr(instance.clock, "advance"):
            instance.clock.advance(1)
        living = sorted(issue.id for issue in instance.by_id.values())
        for issue_id in self.random.sample(living, min(self.updates, len(living))):
            instance.update(issue_id, title=f"Changed while it was read ({self.hits})")
        for issue_id in self.random.sample(living, min(self.deletes, len(living))):
            instance.delete(issue_id)
        names = [one.full_name for one in instance.repositories.values() if one.has_issues]
        for n in range(self.creates):
            instance.create(self.random.choice(names), f"Appeared while it was read ({self.hits}.{n})")


@register
class SameSecond(OnAttach):
    """`count` issues of each repository share one second, as after an import or a change of labels by a script."""

    name = "same_second"
    count: int = 250

    def attach(self, instance: GitHubInstance) -> None:
        now = instance.clock.now()
        for held in instance.repositories.values():
            for issue in list(held.issues.values())[: self.count]:
                instance.update(issue.id, at=now)


@register
class OddText(OnAttach):
    """Every `every`-th issue has odd texts in title, body and a comment."""

    name = "odd_text"
    every: int = 5

    def attach(self, instance: GitHubInstance) -> None:
        for position, issue_id in enumerate(sorted(instance.by_id)[:: self.every]):
            text = ODD_TEXTS[position % len(ODD_TEXTS)]
            instance.update(issue_id, title=f"Odd: {text}", body=text)
            instance.comment(issue_id, text)


@register
class ManyComments(OnAttach):
    """`issues` issues have `count` comments each: more than one page of them."""

    name = "many_comments"
    count: int = 230
    issues: int = 2

    def attach(self, instance: GitHubInstance) -> None:
        living = sorted(issue.id for issue in instance.by_id.values() if not issue.is_pull)
        for issue_id in living[: self.issues]:
            for n in range(self.count):
                instance.comment(issue_id, f"Remark {n} of many", author="somebody")


class PageEdit(Fault[Any, Any]):
    """Changes the items of a page on their way out."""

    def after(self, call: Call, answer: Answer, instance: GitHubInstance) -> Answer:
        if answer.status == 200 and self.strikes(call):
            items = orjson.loads(answer.body)
            answer.body = orjson.dumps(self.edited(items, call))
        return answer

    def edited(self, items: list[dict[str, Any]], call: Call) -> list[dict[str, Any]]:
        """The items that go out."""
        return items


@register
class IgnoredSort(PageEdit):
    """The order by the last change is ignored."""

    name = "ignored_sort"

    def edited(self, items: list[dict[str, Any]], call: Call) -> list[dict[str, Any]]:
        return sorted(items, key=lambda item: item["id"], reverse=True)


@register
class Unmappable(PageEdit):
    """Every `every`-th issue comes without `field`."""

    name = "unmappable"
    field: str = "number"
    every: int = 10

    def edited(self, items: list[dict[str, Any]], call: Call) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in item.items() if key != self.field or item["id"] % self.every}
            for item in items
        ]


@register
class CursorPages(OnAttach):
    """Every repository counts as large: pages by number are refused with 422, links carry cursors."""

    name = "cursor_pages"

    def attach(self, instance: GitHubInstance) -> None:
        instance.most_by_page = 0

    def detach(self, instance: GitHubInstance) -> None:
        instance.most_by_page = 10_000
