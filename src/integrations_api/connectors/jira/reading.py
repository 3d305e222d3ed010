"""Reading issues in the order of their creation, to a proved end.

A sync reads `[scope AND] updated >= W AND created >= A ORDER BY created ASC, key ASC`, where A moves on with what was
read. Creation never changes, so an issue that is changed while it is read stays where it is; a deleted one or a page
that shifted cannot push others out of sight, because the next page is asked for by A, not by a count of rows. Within
one minute of creation, and where the site does not heed such times, pages follow each other by token or position.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from integrations_api.connectors.errors import PageTooLarge, Refused, Retryable
from integrations_api.connectors.jira.answers import QueryRefused
from integrations_api.connectors.jira.client import LARGEST_PAGE, START, Found, Issue, JiraClient, Place
from integrations_api.connectors.jira.jql import MINUTE, ORDER, joined, millis, whole_minute
from integrations_api.connectors.jira.mapping import fields_of, read_moment
from integrations_api.connectors.page_size import PageSize
from integrations_api.connectors.records import JsonObject

_MOST_IDLE_PAGES = 2000
_MOST_ROUNDS = 20
_SHIFTED = "The pages of the source shifted while they were read"


class Cursor(Struct, frozen=True):
    """Where a stretch of creation goes on. Times are milliseconds since the epoch, whole minutes."""

    since: int | None = None
    """Lower bound of `updated`."""
    anchor: int | None = None
    """Lower bound of `created`: what was created before is read."""
    until: int | None = None
    """Upper bound of `created`, excluded; None where the stretch has no end."""
    place: Place = START
    seen: tuple[str, ...] = ()
    """Ids created at or after the anchor that were read before it moved there."""
    tail: str = ""
    """The id read last, by which Data Center's pages are fitted together."""
    moves: bool = True
    """Whether the anchor may move: times in queries were proved."""

    def condition(self) -> str:
        """The bounds as JQL."""
        bounds = (("updated >=", self.since), ("created >=", self.anchor), ("created <", self.until))
        return " AND ".join(f"{column} {value}" for column, value in bounds if value is not None)

    def as_json(self) -> JsonObject:
        return {
            "since": self.since,
            "anchor": self.anchor,
            "until": self.until,
            "place": [self.place.token, self.place.offset],
            "seen": list(self.seen),
            "tail": self.tail,
            "moves": self.moves,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Cursor":
        """Reads what `as_json` wrote."""
        return cls(**{**value, "place": Place(*value["place"]), "seen": tuple(value["seen"])})


def created_of(issue: Issue) -> int | None:
    """When it was created, in milliseconds since the epoch; None where that cannot be read."""
    return _millis(issue, "created")


def _millis(issue: Issue, column: str) -> int | None:
    moment: datetime | None = read_moment(fields_of(issue).get(column))
    return millis(moment) if moment else None


def check(issues: Sequence[Issue], cursor: Cursor) -> None:
    """Every row is checked against the query that asked for it. Raises `Refused` for a bound or order not heeded."""
    created = [moment for issue in issues if (moment := created_of(issue)) is not None]
    if cursor.anchor is not None and any(moment < cursor.anchor for moment in created):
        raise _ignored("condition on created")
    if cursor.until is not None and any(moment >= cursor.until for moment in created):
        raise _ignored("condition on created")
    if cursor.since is not None:
        updated = [moment for issue in issues if (moment := _millis(issue, "updated")) is not None]
        if any(moment < cursor.since for moment in updated):
            raise _ignored("condition on updated")
    minutes = [whole_minute(moment) for moment in created]
    if minutes != sorted(minutes):
        raise _ignored("order by created")


def _ignored(what: str) -> Refused:
    return Refused(
        f"The source ignored the {what}", "Ask the Jira administrator to rebuild the search index, then sync again"
    )


class Reader:
    """Reads one stretch; each page comes with the cursor that follows it, None after the last.

    What is created from `as_of` on (milliseconds since the epoch) need not be found: the next sync reads it.
    """

    def __init__(self, client: JiraClient, *, scope: str, fields: Sequence[str], page_size: int, as_of: int) -> None:
        self._as_of = as_of
        self._client = client
        self._scope = scope
        self._fields = fields
        self._size = PageSize(page_size)

    async def pages(self, cursor: Cursor) -> AsyncGenerator[tuple[list[Issue], Cursor | None], None]:
        """Issues not seen before, and where to go on; pages without any are passed over, but for the last."""
        # What tokens led to before is not known here any more, so the minute could not be checked as a whole.
        following: Cursor | None = replace(cursor, place=START) if cursor.place.token else cursor
        minute = _Minute()
        followed: set[Place] = set()
        idle = 0
        while following is not None:
            found, current = await self._read(following)
            check(found.issues, current)
            _check_way(followed, current.place, found.following)
            new = minute.new(found.issues, current)
            following = _advanced(current, found)
            if following is None or following.anchor != current.anchor:
                if minute.is_paged and await self._is_missing(current, minute):
                    following = minute.again(current)
                else:
                    minute = _Minute()
            idle = 0 if new else idle + 1
            if idle > _MOST_IDLE_PAGES:
                raise _endless()
            if new or following is None:
                yield new, following

    async def _is_missing(self, cursor: Cursor, minute: "_Minute") -> bool:
        """Whether tokens led past an issue of the anchor's minute, as they may where others were deleted meanwhile."""
        if cursor.anchor is None or not cursor.moves:
            return False
        jql = f"{joined(self._scope, replace(cursor, until=cursor.anchor + MINUTE).condition())} {ORDER}"
        followed: set[Place] = set()
        place: Place | None = START
        while place is not None:
            found = await self._client.ask(jql, fields=["created"], limit=LARGEST_PAGE, place=place)
            _check_way(followed, place, found.following)
            due = [issue for issue in found.issues if (created_of(issue) or 0) < self._as_of]
            if any(str(issue.get("id")) not in minute.ids for issue in due):
                return True
            place = found.following
        return False

    async def _read(self, cursor: Cursor) -> tuple[Found, Cursor]:
        """One page with its retries, smaller where that can help; from the anchor again where its place is lost."""
        attempts = self._client.patience.attempts()
        while True:
            try:
                found = await self._ask(cursor, self._size.now)
            except PageTooLarge as error:
                await attempts.again(error, at_once=self._size.shrink())
            except QueryRefused as error:
                if cursor.place == START:
                    raise
                cursor = replace(cursor, place=START)
                await attempts.again(Retryable(error.message, error.remedy))
            except _Shifted as error:
                cursor = replace(cursor, place=START)
                await attempts.again(error)
            except Retryable as error:
                await attempts.again(error)
            else:
                self._size.grow()
                return found, cursor

    async def _ask(self, cursor: Cursor, size: int) -> Found:
        jql = f"{joined(self._scope, cursor.condition())} {ORDER}"
        place = cursor.place
        if not place.offset:
            found = await self._client.page(jql, fields=self._fields, limit=size, place=place)
            if found.following is not None and found.following == place:
                raise Retryable("The source repeats a page")
            return found
        # One row more, from the one read last: where it is not there again, rows were moved or removed before it.
        overlapping = Place(offset=place.offset - 1)
        found = await self._client.page(jql, fields=self._fields, limit=size + 1, place=overlapping)
        if not found.issues or str(found.issues[0].get("id")) != cursor.tail:
            raise _Shifted(_SHIFTED)
        return replace(found, issues=found.issues[1:])


class _Minute:
    """What was read of one minute of creation, across its pages."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.is_paged = False
        """Whether tokens led from page to page; Data Center's pages are fitted together otherwise."""
        self._rounds = 0

    def new(self, issues: Sequence[Issue], cursor: Cursor) -> list[Issue]:
        """Those not read before."""
        self.ids.update(cursor.seen)
        self.is_paged = self.is_paged or cursor.place.token is not None
        new = [issue for issue in issues if str(issue.get("id")) not in self.ids]
        if cursor.moves:  # else the whole source would gather here
            self.ids.update(str(issue.get("id")) for issue in issues)
        return new

    def again(self, cursor: Cursor) -> Cursor:
        """The minute from its beginning. Raises `Refused` when that never helps."""
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS:
            raise Refused(f"{_SHIFTED}, again and again", "Sync again when fewer issues are deleted")
        return replace(cursor, place=START)


def _check_way(followed: set[Place], place: Place, following: Place | None) -> None:
    """Raises `Refused` for a place that a page of this way led to before: it would be gone round for ever."""
    if place == START:
        followed.clear()
    if following in followed:
        raise _endless()
    if following is not None:
        followed.add(following)


def _endless() -> Refused:
    return Refused("The pages of the source do not end", "Narrow the filter, or sync again later")


class _Shifted(Retryable):
    """Rows before the place that was reached came or went."""


def _advanced(cursor: Cursor, found: Found) -> Cursor | None:
    """Where it goes on: from the minute of the last row, if that is a later one, else behind the last row."""
    if found.following is None:
        return None
    tail = str(found.issues[-1].get("id")) if found.issues else cursor.tail
    last = created_of(found.issues[-1]) if found.issues and cursor.moves else None
    if last is not None and (cursor.anchor is None or whole_minute(last) > cursor.anchor):
        anchor = whole_minute(last)
        seen = tuple(str(i.get("id")) for i in found.issues if (at := created_of(i)) is not None and at >= anchor)
        return replace(cursor, anchor=anchor, place=START, seen=seen, tail="")
    return replace(cursor, place=found.following, tail=tail)
