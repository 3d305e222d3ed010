"""What every connector gives to the engine: neutral values, no database and no web."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from integrations_api.connectors.oauth import AccessTokens

JsonObject = Mapping[str, Any]

Mode = Literal["incremental", "full"]


class Note(Struct, frozen=True):
    """A dated, authored remark on an incident."""

    at: str
    """UTC, `2026-03-01T10:30:00Z`; the source's own words where it gives no absolute time."""
    author: str
    kind: str
    text: str


class MappedDocument(Struct, frozen=True):
    """An incident as it is kept: what its content hash is made of."""

    number: str
    title: str
    text: str
    notes: Sequence[Note]
    attributes: JsonObject
    """Codes and labels by field name, e.g. `{"state": "Resolved", "state_code": "6"}`; JSON values only."""
    url: str | None


class SourceRecord(Struct, frozen=True):
    """One item as the source sent it, with the few facts the engine itself needs."""

    external_id: str
    updated_at: datetime | None
    created_at: datetime | None
    raw: JsonObject


class Page(Struct, frozen=True):
    """Records fetched together, and where the fetch goes on once they are committed.

    A fetch may run in several lanes (disjoint ranges); `cursor` None says that the lane is read to its end.
    """

    records: Sequence[SourceRecord]
    lane: str
    cursor: JsonObject | None


class FetchRequest(Struct, frozen=True):
    """What a run wants to read; `since` None means everything."""

    mode: Mode
    since: datetime | None


class FetchStart(Struct, frozen=True):
    """What a connector measured before the first page; stored on the run, so that a resume does not measure again.

    `since` is the lower bound that is really used (None: everything is read, and `notes` say why if more was
    asked for). `next_watermark` is what the following run may start from; None when the source is empty.
    """

    since: datetime | None
    next_watermark: datetime | None
    source_now: datetime
    lanes: Mapping[str, JsonObject | None]
    notes: Sequence[str] = ()


class SourceCount(Struct, frozen=True):
    """How many records the source says there are, and how sure it is."""

    total: int | None
    why_unknown: str | None = None
    only_visible: bool = False
    """Whether what access rules hide from this user was left out, so that nothing of what it counts is hidden."""


class Gone(Struct, frozen=True):
    """A record the source no longer shows, confirmed one by one."""

    external_id: str
    reason: Literal["deleted", "archived", "no_longer_visible", "out_of_filter"]


class Check(Struct, frozen=True):
    """One named check of a preflight."""

    name: str
    status: Literal["ok", "warning", "failed"]
    seen: str
    remedy: str | None = None


class Wait(Struct, frozen=True):
    """The source makes us wait; `seconds` is how long, `reason` a whole sentence for people, the time included.

    Of no seconds: what it is asked for takes long, and gets on.
    """

    seconds: float
    reason: str


OnWait = Callable[[Wait], Awaitable[None]]


async def ignore_wait(wait: Wait) -> None:
    """For callers that show no progress."""


Slot = Callable[[], AbstractAsyncContextManager[None]]
"""Held during each request, waited for before it: limits the requests to one host across runs and workers."""


class ConnectorContext(Struct, frozen=True):
    """What a connector may use of the world; handed over when it is made.

    `on_wait` is called from the connector's own tasks, one call at a time. `tokens` are there where the service's
    description names an authorization server: see `connectors/oauth.py`.
    """

    page_size: int
    concurrency: int
    overlap_seconds: float
    retry_budget_seconds: float
    on_wait: OnWait = field(default=ignore_wait)
    slot: Slot = field(default=nullcontext)
    tokens: AccessTokens | None = None
