"""Faults of searches: an index that lags, tokens that end, pages that shift, conditions that are not heeded."""

import re
from dataclasses import field
from typing import Any, ClassVar, Literal

from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.jira.issues import Issue
from integrations_api.simulator.jira.messages import Call, CallKind, error_answer
from integrations_api.simulator.jira.site import JiraSite

from .base import Fault
from .registry import register


@register
class IndexLag(Fault):
    """Searches find a change only `seconds` after it was made; reconcileIssues and single issues show it at once."""

    name = "index_lag"
    seconds: int = 90

    def attach(self, instance: JiraSite) -> None:
        instance.index_lag = self.seconds

    def detach(self, instance: JiraSite) -> None:
        instance.index_lag = 0


@register
class TokenExpires(Fault):
    """A page token is refused as too old."""

    name = "token_expires"
    default_times: ClassVar[int | None] = 1

    def strikes(self, call: Call) -> bool:
        return bool(call.args.get("nextPageToken")) and super().strikes(call)

    async def before(self, call: Call, instance: JiraSite) -> Answer | None:
        return error_answer(400, "The nextPageToken is invalid or expired") if self.strikes(call) else None


@register
class TokensAreGoodOnce(Fault):
    """Each page token works a single time: a page that was cut off cannot be asked for again."""

    name = "tokens_are_good_once"
    _used: set[str] = field(default_factory=set, init=False)

    async def before(self, call: Call, instance: JiraSite) -> Answer | None:
        token = str(call.args.get("nextPageToken") or "")
        if not token or not self.strikes(call):
            return None
        if token in self._used:
            return error_answer(400, "The nextPageToken is invalid or expired")
        self._used.add(token)
        return None


@register
class TokenRepeats(Fault):
    """A page brings back the token that it was asked with, so that the pages never end."""

    name = "token_repeats"
    default_times: ClassVar[int | None] = 1

    def edit_page(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        token = call.args.get("nextPageToken")
        if token and self.strikes(call):
            return answer | {"nextPageToken": token, "isLast": False}
        return answer


@register
class TokensGoRound(Fault):
    """After `pages` pages of a query their tokens lead back to the second one, so that the pages never end."""

    name = "tokens_go_round"
    pages: int = 4
    _led: dict[str, list[str]] = field(default_factory=dict, init=False)

    def edit_page(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        if not answer.get("nextPageToken") or not self.strikes(call):
            return answer
        led = self._led.setdefault(str(call.args["jql"]), [])
        led.append(answer["nextPageToken"])
        return answer | {"nextPageToken": led[(len(led) - 1) % self.pages]}


@register
class ShortPages(Fault):
    """Pages of `most` issues, however many are asked for."""

    name = "short_pages"
    most: int = 3

    def limit(self, call: Call, limit: int) -> int:
        return min(limit, self.most) if self.strikes(call) else limit


@register
class EmptyPages(Fault):
    """Every second page is empty and leads on by its token."""

    name = "empty_pages"

    def limit(self, call: Call, limit: int) -> int:
        return 0 if self.strikes(call) and self.hits % 2 == 1 else limit


@register
class Ignored(Fault):
    """The bounds on `column` (updated or created) are not heeded, with or without an error."""

    name = "ignored"
    default_on: ClassVar[str] = "any"
    column: Literal["updated", "created", "order"] = "updated"

    def prepare(self, call: Call) -> None:
        jql = str(call.args.get("jql") or "")
        if not jql or not self.strikes(call):
            return
        if self.column == "order":
            call.args["jql"] = jql.replace("created ASC", "priority ASC")
        else:
            call.args["jql"] = re.sub(rf"{self.column} [<>]=? \d+", "created >= 0", jql)


@register
class EpochIsNoDate(Fault):
    """Dates in milliseconds are refused, as by a site that knows only quoted literals."""

    name = "epoch_is_no_date"
    default_on: ClassVar[str] = "any"

    async def before(self, call: Call, instance: JiraSite) -> Answer | None:
        if re.search(r"[<>]=? \d{6,}", str(call.args.get("jql") or "")) and self.strikes(call):
            return error_answer(400, "Date value '1732877091000' for field 'updated' is invalid.")
        return None


@register
class SmallWindow(Fault):
    """Data Center pages through no more than `rows` (max_result_window; 10,000 by default)."""

    name = "small_window"
    rows: int = 50

    def attach(self, instance: JiraSite) -> None:
        instance.window = self.rows

    def detach(self, instance: JiraSite) -> None:
        instance.window = 10_000


@register
class Churn(Fault):
    """While it is read the site changes: after each page, `what` (update, move, delete, create) happens to the issue
    that was created `back` places before the newest one read."""

    name = "churn"
    what: Literal["update", "move", "delete", "create"] = "update"
    _read: list[str] = field(default_factory=list, init=False)

    def select(self, call: Call, page: list[Issue]) -> list[Issue]:
        if call.kind == CallKind.PAGE:
            self._read.extend(issue.id for issue in page)
        return page

    def after(self, call: Call, answer: Answer, instance: JiraSite) -> Answer:
        if self._read and self.strikes(call):
            with instance.lock:
                self._strike(instance)
        return answer

    def _strike(self, instance: JiraSite) -> None:
        victim = next((issue_id for issue_id in self._read if issue_id in instance.issues), None)
        if self.what == "create":
            instance.create({"summary": "Created while the site is read"})
        elif victim is not None:
            self._read.remove(victim)
            if self.what == "update":
                instance.update(victim, {"summary": "Changed while the site is read"})
            elif self.what == "move":
                instance.move(victim, "WORK" if instance.issues[victim].project != "WORK" else "OPS")
            else:
                instance.delete(victim)


@register
class OddBodies(Fault):
    """Every `every`-th issue comes with fields that are null, missing, or of another shape than usual."""

    name = "odd_bodies"
    default_on: ClassVar[str] = "any"
    ODD: ClassVar[tuple[Any, ...]] = (None, 17, "text", ["x", None], {"surprise": {"deep": [1]}}, True)

    every: int = 3

    def edit_page(self, call: Call, answer: dict[str, Any]) -> dict[str, Any]:
        for row in answer["issues"]:
            fields = row.get("fields") or {}
            if int(row["id"]) % self.every == 0 and "comment" in fields:
                for position, name in enumerate(sorted(set(fields) - {"summary", "created", "updated", "comment"})):
                    fields[name] = self.ODD[(int(row["id"]) + position) % len(self.ODD)]
        return answer
