"""Faults of the data: what is stored is awkward, hidden, late, or changes while somebody reads."""

from dataclasses import field
from random import Random
from typing import ClassVar, Literal

from integrations_api.simulator.common.clock import stamp
from integrations_api.simulator.common.dice import hex_id_for as sys_id_for
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.servicenow.instance import ServiceNowInstance
from integrations_api.simulator.servicenow.messages import Call

from .base import Fault
from .registry import register

MEGABYTE = 1_000_000
ODD_TEXTS = (
    "nul \x00 inside",
    "bell \x07, escape \x1b[31m, vertical tab \x0b, delete \x7f, next line \x85",
    "lone surrogate \ud83d here and \udc00 there",
    "emoji 🧯👩🏽‍💻🏳️‍🌈 and math 𝒳",
    "עברית \u202eright to left\u202c العربية",
    "line one\r\nline two\rline three\nline four\u2028line five\u2029line six",
    "data: not an event\n\nevent: error\ndata: {}\n\n",
    "<script>alert('x')</script> & \"quotes\" \\ backslash",
    "\ufeffbyte order mark and \ufffd, \ufffe, \u200b zero width",
    "e\u0301 combining and é composed",
)
TEXT_FIELDS = ("short_description", "description", "close_notes", "cause", "u_business_unit", "correlation_id")


class OnAttach(Fault):
    """A fault that does its work when it is put in force."""

    default_on: ClassVar[str] = "any"


@register
class MutateDuringScan(Fault):
    """After every page that is read:

    `updates` incidents change, `creates` appear, `deletes` vanish, before the reader asks again.
    """

    name = "mutate_during_scan"
    updates: int = 5
    creates: int = 1
    deletes: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.random = Random(self.seed)

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        if answer.status == 200 and self.strikes(call):
            with instance.lock:
                self._mutate(instance)
        return answer

    def _mutate(self, instance: ServiceNowInstance) -> None:
        for n in range(self.creates):
            instance.create({"short_description": f"Appeared during the scan ({self.hits}.{n})"})
        for sys_id in self._some(instance, self.deletes):
            instance.delete(sys_id)
        for sys_id in self._some(instance, self.updates):
            instance.update(sys_id, {"short_description": f"Changed during the scan ({self.hits})"})

    def _some(self, instance: ServiceNowInstance, count: int) -> list[str]:
        order = instance.sys_ids()
        return self.random.sample(order, min(count, len(order)))


@register
class LateRows(Fault):
    """Transactions that commit late: after a page, `count` incidents appear whose stamps lie `lag` seconds in the past.

    Half of them have ids below all others, so a scan by id has passed them.
    """

    name = "late_rows"
    default_times: ClassVar[int | None] = 1
    count: int = 20
    lag: int = 120
    sys_ids: list[str] = field(default_factory=list, init=False)

    def after(self, call: Call, answer: Answer, instance: ServiceNowInstance) -> Answer:
        if answer.status == 200 and self.strikes(call):
            at = stamp(instance.clock.now() - self.lag)
            for n in range(self.count):
                sys_id = sys_id_for("late", self.hits, n, at)
                if n % 2:
                    sys_id = "0000" + sys_id[4:]
                values = {"sys_id": sys_id, "short_description": f"Committed late ({n})"}
                self.sys_ids.append(instance.create(values, at=at))
        return answer


@register
class SameSecondBulk(OnAttach):
    """A bulk update: `count` incidents share one second, and ties come in another order every time."""

    name = "same_second_bulk"
    count: int = 12_000

    def attach(self, instance: ServiceNowInstance) -> None:
        instance.update_many(instance.sys_ids()[: self.count], {"escalation": "1"})
        instance.shuffles_ties = True

    def detach(self, instance: ServiceNowInstance) -> None:
        instance.shuffles_ties = False


@register
class HiddenRows(OnAttach):
    """Row ACLs hide `percent` of the incidents, spread out, and a run of `run` neighbours from `run_at` (a share of
    the table) on.

    Every page is short; inside the run pages are empty though more rows follow. Counts still count what is hidden.
    """

    name = "hidden_rows"
    percent: int = 20
    run: int = 0
    run_at: float = 0.3
    hidden: set[str] = field(default_factory=set, init=False)

    def attach(self, instance: ServiceNowInstance) -> None:
        order = list(instance.incidents.order)
        start = int(len(order) * self.run_at)
        random = Random(1)
        spread = {key for key in order if random.randrange(100) < self.percent}
        self.hidden = (spread | set(order[start : start + self.run])) - instance.hidden
        instance.hide(self.hidden)

    def detach(self, instance: ServiceNowInstance) -> None:
        instance.show(self.hidden)


@register
class HiddenFields(OnAttach):
    """Field ACLs hide `fields` (joined by +):

    they come `how` = empty, missing, or are answered with 403 (forbidden).
    """

    name = "hidden_fields"
    fields: str = "description+work_notes"
    how: Literal["empty", "missing", "forbidden"] = "empty"

    def attach(self, instance: ServiceNowInstance) -> None:
        instance.hide_fields(self.fields.split("+"), as_=self.how)

    def detach(self, instance: ServiceNowInstance) -> None:
        instance.hide_fields(())


@register
class EmptyRows(OnAttach):
    """Every `every`-th incident comes as `{}`: all its fields are hidden."""

    name = "empty_rows"
    every: int = 10
    keys: set[str] = field(default_factory=set, init=False)

    def attach(self, instance: ServiceNowInstance) -> None:
        self.keys = set(instance.incidents.order[:: self.every]) - instance.blank
        instance.blank_rows(self.keys)

    def detach(self, instance: ServiceNowInstance) -> None:
        with instance.lock:
            instance.blank -= self.keys


@register
class CapitalIds(OnAttach):
    """Every `every`-th incident gets a sys_id in capitals, as imported records have them."""

    name = "capital_ids"
    every: int = 3

    def attach(self, instance: ServiceNowInstance) -> None:
        for sys_id in instance.sys_ids()[:: self.every]:
            instance.rename(sys_id, sys_id.upper())


@register
class DuplicateNumber(OnAttach):
    """`pairs` pairs of incidents share a number."""

    name = "duplicate_number"
    pairs: int = 1
    sys_ids: list[tuple[str, str]] = field(default_factory=list, init=False)

    def attach(self, instance: ServiceNowInstance) -> None:
        ids = instance.sys_ids()[: 2 * self.pairs]
        for first, second in zip(ids[::2], ids[1::2], strict=False):
            instance.update(second, {"number": instance.row(first).number}, touch=False)
            self.sys_ids.append((first, second))


@register
class StaleDeleteLog(OnAttach):
    """The delete log has lines about `count` incidents that live."""

    name = "stale_delete_log"
    count: int = 3
    sys_ids: list[str] = field(default_factory=list, init=False)

    def attach(self, instance: ServiceNowInstance) -> None:
        self.sys_ids = instance.sys_ids()[: self.count]
        for sys_id in self.sys_ids:
            instance.log_delete_of_living(sys_id)


@register
class HugeDescription(OnAttach):
    """`count` incidents get a description of `megabytes`."""

    name = "huge_description"
    count: int = 1
    megabytes: float = 5
    sys_ids: list[str] = field(default_factory=list, init=False)

    def attach(self, instance: ServiceNowInstance) -> None:
        self.sys_ids = instance.sys_ids()[: self.count]
        size = int(self.megabytes * MEGABYTE)
        line = "The log of the application goes on like this, line after line, for a very long time.\n"
        for sys_id in self.sys_ids:
            instance.update(sys_id, {"description": (line * (size // len(line) + 1))[:size]})


@register
class OddText(OnAttach):
    """Every `every`-th incident has NUL, control characters, lone surrogates, emoji, right-to-left marks, CR and LF in
    all its texts."""

    name = "odd_text"
    every: int = 10
    sys_ids: list[str] = field(default_factory=list, init=False)

    def attach(self, instance: ServiceNowInstance) -> None:
        self.sys_ids = instance.sys_ids()[:: self.every]
        for position, sys_id in enumerate(self.sys_ids):
            texts = ODD_TEXTS[position % len(ODD_TEXTS) :] + ODD_TEXTS
            instance.update(sys_id, dict(zip(TEXT_FIELDS, texts, strict=False)))
            instance.work_note(sys_id, texts[0])
            instance.comment(sys_id, texts[1])
