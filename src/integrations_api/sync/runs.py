"""A sync run: its states and phases, and the decisions about it that need no database."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast, get_args
from uuid import UUID

from msgspec import Struct

from integrations_api.connectors.records import Mode
from integrations_api.errors import InvalidInput

ENTRYPOINT = "sync"
"""What a run's job is called in the queue."""
INTEGRATION_DELETED = "Integration was deleted"
PLANS_KEPT = timedelta(days=7)
"""How long a failed run may be resumed in its ingest without planning again."""


class RunState(StrEnum):
    """queued → running → one of the others, which are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    HELD = "held"


ACTIVE = (RunState.QUEUED, RunState.RUNNING)


def is_final(state: str) -> bool:
    """Whether nothing more happens to a run in this state."""
    return state not in ACTIVE


class Phase(StrEnum):
    """How far a run has come; what is behind it is committed and is not done again."""

    STARTING = "starting"
    REMAPPING = "remapping"
    REWRITING = "rewriting"
    FETCHING = "fetching"
    COMPARING = "comparing"
    INGESTING = "ingesting"
    PUBLISHING = "publishing"
    DONE = "done"


REMAP = "remap"
"""Trigger of a run that only maps anew what is stored."""


class Claim(Struct, frozen=True):
    """The right to work on a run: `attempt` is the fencing token that every transaction checks.

    And whose it is: a standby that took over may not have heard of a claim, and give its number once more.
    """

    run_id: UUID
    attempt: int
    worker_id: UUID | None


class Fenced(Exception):
    """Another worker has claimed the run since, or it has ended: this one must not touch it any more."""


class HandOver(Exception):
    """This worker is asked to stop: the run is given back at a boundary and goes on elsewhere."""


def read_mode(text: str) -> Mode:
    """What a client asks for. Raises `InvalidInput`."""
    if text not in get_args(Mode):
        raise InvalidInput("mode: must be incremental or full")
    return cast(Mode, text)


def choose_mode(*, asked: Mode, watermark: datetime | None, needs_full: bool) -> Mode:
    """What a run reads: everything when asked, when nothing is known yet, or when that is not to be trusted."""
    return "full" if asked == "full" or watermark is None or needs_full else "incremental"
