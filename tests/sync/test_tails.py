"""What reads a run's log for all who watch it: as often as it is told to, to its end, and no longer than they stay."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from integrations_api.sync import repository, stream
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.stream import Frame, RunStreams, encode
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.anyio

HOURS = 3600.0


def streams_that_ping() -> RunStreams:
    sessions: Any = nullcontext
    return RunStreams(sessions=sessions, ping=timedelta(milliseconds=1), most_of_user=1)


async def test_it_looks_when_it_is_told_to_and_ends_when_everybody_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", HOURS)
    monkeypatch.setattr(stream, "QUEUED_NOTICE_SECONDS", HOURS)
    looks: asyncio.Queue[int] = asyncio.Queue()

    async def nothing_yet(_: RunStreams, run_id: UUID, seq: int) -> list[Frame]:
        looks.put_nowait(seq)
        await asyncio.sleep(0)
        return []

    monkeypatch.setattr(RunStreams, "_read", nothing_yet)
    before, streams, run_id = asyncio.all_tasks(), streams_that_ping(), uuid4()

    async with asyncio.timeout(PATIENCE) as patience, aclosing(streams.watch(run_id)) as watched:
        for told in (str(run_id), None):
            await anext(watched)
            await looks.get()
            streams.nudge(str(uuid4()))
            streams.nudge(told)
        await looks.get()
        pings = [await anext(watched) for _ in range(10)]
        assert (set(pings), looks.qsize()) == ({stream.PING}, 0)
        streams.nudge(None)  # At the very moment at which the last one leaves.

    for _ in range(5):
        await asyncio.sleep(0)
    assert (asyncio.all_tasks(), patience.expired()) == (before, False)


async def test_what_comes_just_after_the_last_look_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.0)
    run_id = uuid4()
    logged = [LoggedEvent(seq=seq, event=event, payload="{}") for seq, event in ((1, "progress"), (2, "complete"))]
    frames = [encode(run_id, event) for event in logged]
    looks: Iterator[list[Frame]] = iter([[]])

    async def too_early_at_first(_: RunStreams, run_id: UUID, seq: int) -> list[Frame]:
        return next(looks, [frame for frame in frames if frame.seq > seq])

    async def has_ended(*_: object) -> SimpleNamespace:
        return SimpleNamespace(state="succeeded", last_event=2)

    monkeypatch.setattr(RunStreams, "_read", too_early_at_first)
    monkeypatch.setattr(repository, "find_run", has_ended)

    told = [data async for data in streams_that_ping().watch(run_id) if data != stream.PING]

    assert b"".join(told) == b"".join(frame.data for frame in frames)


async def test_who_reads_the_log_of_a_run_that_is_over_is_told_to_come_back_when_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = uuid4()

    async def one_by_one(_: RunStreams, run_id: UUID, seq: int) -> list[Frame]:
        event = "complete" if seq == 50 else "progress"
        return [encode(run_id, LoggedEvent(seq=seq + 1, event=event, payload="{}"))]

    monkeypatch.setattr(RunStreams, "_read", one_by_one)
    streams = streams_that_ping()

    async with asyncio.timeout(PATIENCE), aclosing(streams.replay(run_id)) as told:
        await anext(told)
        streams.close()
        rest = [data async for data in told]

    assert rest == [stream.COME_BACK]


async def test_so_is_who_waits_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def away(*_: object) -> list[Frame]:
        asked.set()
        raise ConnectionRefusedError

    monkeypatch.setattr(RunStreams, "_read", away)
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.01)
    streams = streams_that_ping()

    async with asyncio.timeout(PATIENCE), aclosing(streams.replay(uuid4())) as told:
        waiting = asyncio.ensure_future(anext(told))
        await asked.wait()
        streams.close()

        assert await waiting == stream.COME_BACK
