"""The run log: what happened to a run, each event numbered under the lock of the run's row.

So numbers and commits have one order, and whoever reads on from a number misses nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.notify import notify
from integrations_api.sync.events import LoggedEvent, NewEvent
from integrations_api.sync.models import SyncRun

CHANNEL = "sync_events"


async def tell(
    session: AsyncSession,
    *which: ColumnElement[bool],
    events: Sequence[NewEvent],
    values: Mapping[str, Any] | None = None,
) -> list[LoggedEvent] | None:
    """Sets columns of a run's row and writes the events that go with that; None where `which` names no run."""
    told = await session.execute(
        update(SyncRun)
        .where(*which)
        .values(last_event=SyncRun.last_event + len(events), **(values or {}))
        .returning(SyncRun.id, SyncRun.last_event)
    )
    run = told.one_or_none()
    return None if run is None else await write_events(session, run_id=run.id, last=run.last_event, events=events)


# One statement, however many events: a batch event is written for every five incidents.
_WRITE_EVENTS = text("""
    INSERT INTO sync_events (run_id, seq, event, payload)
    SELECT :run, :first + e.place - 1, e.event, e.payload
    FROM unnest(CAST(:events AS text[]), CAST(:payloads AS text[])) WITH ORDINALITY AS e(event, payload, place)
""")


async def write_events(
    session: AsyncSession, *, run_id: UUID, last: int, events: Sequence[NewEvent]
) -> list[LoggedEvent]:
    """Adds events that end with seq `last`, drawn under the run's row lock, and nudges who listens."""
    first = last - len(events) + 1
    logged = [LoggedEvent(seq=first + i, event=e.event, payload=e.payload) for i, e in enumerate(events)]
    if logged:
        facts = {
            "run": run_id,
            "first": first,
            "events": [e.event for e in logged],
            "payloads": [e.payload for e in logged],
        }
        await session.execute(_WRITE_EVENTS, facts)
        await notify(session, CHANNEL, str(run_id))
    return logged


async def events_after(connection: asyncpg.Connection, *, run_id: UUID, seq: int, limit: int) -> list[LoggedEvent]:
    """The run log after a seq, oldest first."""
    rows = await connection.fetch(
        "SELECT seq, event, payload FROM sync_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        run_id,
        seq,
        limit,
    )
    return [LoggedEvent(*row) for row in rows]
