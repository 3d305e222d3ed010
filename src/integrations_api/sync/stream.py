"""Many readers of the run log, in order and without loss, from memory where it is recent.

NOTIFY is a nudge, rows are the truth, a poll covers lost nudges. One tail a run and process reads new rows however
many clients watch; each client has its own position, so a slow one delays nobody and costs no memory.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress
from contextvars import Context
from datetime import timedelta
from itertools import islice
from uuid import UUID

from msgspec import Struct, field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from integrations_api.db.direct import connected
from integrations_api.db.engine import Sessions
from integrations_api.db.lost import DATABASE_TROUBLE
from integrations_api.errors import TooManyRequests
from integrations_api.logs import get_logger
from integrations_api.metrics import STREAMS_OPEN
from integrations_api.sync import events, repository, run_log
from integrations_api.sync.events import LoggedEvent
from integrations_api.sync.runs import is_final
from integrations_api.sync.service import Position

log = get_logger(__name__)

POLL_SECONDS = 1.0
WINDOW = 2000
"""Events of a run that are kept in memory; who is further behind reads the database."""
CHUNK = 500
QUEUED_NOTICE_SECONDS = 2.0
RETRY_SECONDS = 15
"""When who has too many streams may ask again."""
GOODBYE_SECONDS = 3.0
"""How long a stream that `close` has ended may take to say so, before it is cut off."""
PARCEL = 32_768
"""Bytes of frames that are sent together, at least: a send costs far more than what is in it."""
EVENTS_GONE = "The events of this run are no longer kept; GET /integrations/runs/{run_id} tells how it ended"
RUN_GONE = (
    "This sync is not known any more: its integration was deleted together with its data, or a database that took over "
    "had not heard of it; look at the integration, and start the sync again"
)
COME_BACK = ServerSentEvent(comment="restarting: come back with Last-Event-ID", retry=1000, sep="\n").encode()
MOST_PACKED = 64
PING = b": ping\n\n"
IN_QUEUE = "Waiting for a worker: the sync is queued..."


class Frame(Struct, frozen=True):
    """One event as bytes, or a few that follow each other, made once for all who watch; `seq` is the last one's."""

    seq: int
    is_terminal: bool
    data: bytes


def encode(run_id: UUID, event: LoggedEvent) -> Frame:
    """The SSE frame; its id names run and position, so that a client can resume anywhere."""
    sent = ServerSentEvent(data=event.payload, event=event.event, id=f"{run_id}:{event.seq}", sep="\n")
    return Frame(seq=event.seq, is_terminal=event.is_terminal, data=sent.encode())


def encode_loose(new: events.NewEvent) -> bytes:
    """A frame that belongs to no run."""
    return ServerSentEvent(data=new.payload, event=new.event, sep="\n").encode()


def parcels(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same in fewer frames: no more are joined once they have `PARCEL` bytes."""
    waiting: list[Frame] = []
    size = 0
    for frame in frames:
        waiting.append(frame)
        size += len(frame.data)
        if size >= PARCEL:
            yield _joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(frames: list[Frame]) -> Frame:
    last = frames[-1]
    return Frame(seq=last.seq, is_terminal=last.is_terminal, data=b"".join(frame.data for frame in frames))


class _Tail(Struct):
    """What one process knows of one run's log: its newest frames, and how to hear of more."""

    run_id: UUID
    start: int
    frames: deque[Frame] = field(default_factory=lambda: deque(maxlen=WINDOW))
    nudged: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    packed: dict[int, list[Frame]] = field(default_factory=dict)
    """The parcel that follows a position, for all who are at it: most clients are at the same one."""
    watchers: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def newest(self) -> int:
        return self.frames[-1].seq if self.frames else self.start

    @property
    def has_ended(self) -> bool:
        """Whether it reads no more: the run was over. A run that is resumed after that goes on without it."""
        return self.task is not None and self.task.done()

    def after(self, seq: int) -> list[Frame] | None:
        """The next frames after a position, in one; None when some of them are not in memory any more."""
        if seq >= self.newest:
            return []
        if not self.frames or self.frames[0].seq > seq + 1:
            return None
        if seq not in self.packed:
            if len(self.packed) >= MOST_PACKED:
                self.packed.clear()
            following = islice(self.frames, seq + 1 - self.frames[0].seq, None)
            self.packed[seq] = list(islice(parcels(following), 1))
        return self.packed[seq]

    def add(self, frames: list[Frame]) -> None:
        self.frames.extend(frames)
        self.packed.clear()
        self.wake_watchers()

    def wake_watchers(self) -> None:
        """Those who find nothing new send a ping."""
        told, self.changed = self.changed, asyncio.Event()
        told.set()

    async def beat(self, every: timedelta) -> None:
        """Wakes the watchers when nothing else did for so long: a clock for each of them cost more than its event."""
        while True:
            if not await _happens(self.changed, within=every):
                self.wake_watchers()


class RunStreams:
    """All tails of this process, and the answers that stream them."""

    def __init__(self, *, sessions: Sessions, ping: timedelta, most_of_user: int) -> None:
        self._sessions = sessions
        self._ping = ping
        self._most_of_user = most_of_user
        self._open: Counter[UUID] = Counter()
        self._tails: dict[UUID, _Tail] = {}
        self._is_closed = False

    def close(self) -> None:
        """Ends every stream whole, without a last event: its client comes back with `Last-Event-ID`."""
        self._is_closed = True
        for tail in self._tails.values():
            tail.wake_watchers()

    async def answer(self, position: Position, *, of: UUID) -> Response:
        """Streams a run to a user from a position on; what is over and short is answered whole, at two thirds of the
        work. Raises `TooManyRequests` where he has as many streams open as one may have.
        """
        if position.is_over:
            return _respond(_just())
        if self._open[of] >= self._most_of_user:
            raise _too_many(self._most_of_user)
        if not position.is_final:
            return _respond(self.watch(position.run_id, after=position.after), self._counted(of))
        whole = await self._whole(position)
        return whole or _respond(self.replay(position.run_id, after=position.after), self._counted(of))

    async def answer_watcher(self, position: Position, *, of: UUID) -> Response:
        """The same for a GET, where 204 tells an EventSource not to come back."""
        return Response(status_code=204) if position.is_over else await self.answer(position, of=of)

    @contextmanager
    def _counted(self, user_id: UUID) -> Iterator[None]:
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]

    async def _whole(self, position: Position) -> Response | None:
        """All that follows in a run that has ended; None where that is too much at once, or cannot be read now."""
        with suppress(*DATABASE_TROUBLE):
            frames = await self._read(position.run_id, position.after)
            if frames and frames[-1].is_terminal:
                return Response(b"".join(frame.data for frame in frames), media_type="text/event-stream")
        return None

    def answer_with(self, message: str) -> EventSourceResponse:
        """A stream of one error event: the contract's answer to a sync that cannot begin."""
        return _respond(_just(encode_loose(events.error(message))))

    def nudge(self, run_id: str | None) -> None:
        """Called for each NOTIFY; None means that some may have been missed."""
        for tail in self._tails.values():
            if run_id is None or str(tail.run_id) == run_id:
                tail.nudged.set()

    async def replay(self, run_id: UUID, *, after: int = 0) -> AsyncGenerator[bytes, None]:
        """As `watch`, of a run that has ended: read and sent by pieces, without a tail; nothing more is to come."""
        position = after
        while not self._is_closed and (frames := list(parcels(await self._read_patiently(run_id, position)))):
            for frame in frames:
                yield frame.data
                position = frame.seq
                if frame.is_terminal:
                    return
        # It was resumed in the meantime, or its events are no longer kept: the tail finds out which. Or we are to end.
        async with aclosing(self.watch(run_id, after=position)) as rest:
            async for data in rest:
                yield data

    async def watch(self, run_id: UUID, *, after: int = 0) -> AsyncGenerator[bytes, None]:
        """Every event of a run after a position, to its terminal one. No database session is held meanwhile."""
        tail = self._join(run_id, after)
        try:
            position = after
            while not self._is_closed:
                changed = tail.changed
                frames = tail.after(position)
                if frames is None:
                    frames = list(parcels(await self._read_patiently(run_id, position)))
                for frame in frames:
                    yield frame.data
                    position = frame.seq
                    if frame.is_terminal:
                        return
                if not frames:
                    await changed.wait()
                    if position >= tail.newest and not self._is_closed:
                        yield PING
            yield COME_BACK
        finally:
            await self._leave(tail)

    def _join(self, run_id: UUID, after: int) -> _Tail:
        tail = self._tails.get(run_id)
        if tail is None or tail.has_ended:
            tail = self._tails[run_id] = _Tail(run_id=run_id, start=after)
            # In a context of its own: it outlives the request that happens to be the first to watch.
            tail.task = asyncio.create_task(self._follow(tail), context=Context())
        tail.watchers += 1
        STREAMS_OPEN.inc()
        return tail

    async def _leave(self, tail: _Tail) -> None:
        tail.watchers -= 1
        STREAMS_OPEN.dec()
        if tail.watchers == 0 and tail.task is not None:
            if self._tails.get(tail.run_id) is tail:
                del self._tails[tail.run_id]
            tail.task.cancel()
            with suppress(asyncio.CancelledError):
                await tail.task

    async def _follow(self, tail: _Tail) -> None:
        """Reads new rows at every nudge, and every second without one."""
        beside = [asyncio.create_task(self._tell_if_queued(tail.run_id)), asyncio.create_task(tail.beat(self._ping))]
        try:
            while True:
                tail.nudged.clear()
                frames = await self._read_patiently(tail.run_id, tail.newest)
                if frames:
                    tail.add(frames)
                    if frames[-1].is_terminal:
                        return
                    continue
                # Not by `wait_for`: of a nudge and a cancellation at the same moment it takes the nudge alone.
                if await _happens(tail.nudged, within=timedelta(seconds=POLL_SECONDS)):
                    continue
                if (farewell := await self._farewell(tail)) is not None:
                    tail.add([farewell])
                    return
        finally:
            for task in beside:
                task.cancel()

    async def _farewell(self, tail: _Tail) -> Frame | None:
        """The last frame of a log that will not grow any more although its end was not seen."""
        with suppress(*DATABASE_TROUBLE):
            async with self._sessions() as session:
                run = await repository.find_run(session, tail.run_id)
            if run is None:
                return _last_frame(tail, encode_loose(events.error(RUN_GONE)))
            if is_final(run.state) and not await self._read(tail.run_id, tail.newest):
                # After a failover that lost commits the log may have come to its end before what was seen of it.
                kept = await self._read(tail.run_id, run.last_event - 1)
                # By its id an EventSource that comes back is told to stay away.
                gone = LoggedEvent(seq=run.last_event, event="error", payload=events.error(EVENTS_GONE).payload)
                return _last_frame(tail, (kept or [encode(tail.run_id, gone)])[0].data)
        return None

    async def _read_patiently(self, run_id: UUID, seq: int) -> list[Frame]:
        """Rows after a seq, none once we are closed; in a stream a database that is away is waited for, not raised."""
        while not self._is_closed:
            try:
                return await self._read(run_id, seq)
            except DATABASE_TROUBLE as error:
                log.warning("stream.database_lost", error=type(error).__name__)
            await asyncio.sleep(POLL_SECONDS)
        return []

    async def _read(self, run_id: UUID, seq: int) -> list[Frame]:
        async with connected(self._sessions) as connection:
            logged = await run_log.events_after(connection, run_id=run_id, seq=seq, limit=CHUNK)
        return [encode(run_id, event) for event in logged]

    async def _tell_if_queued(self, run_id: UUID) -> None:
        """A run that still waits after a while says so."""
        await asyncio.sleep(QUEUED_NOTICE_SECONDS)
        with suppress(*DATABASE_TROUBLE):
            async with self._sessions.begin() as session:
                await repository.write_first_event(session, run_id=run_id, event=events.progress(IN_QUEUE))


class _Stream(EventSourceResponse):
    """The answer without a scope around each send: none of them has a time limit, and it was a seventh of an event."""

    counted: AbstractContextManager[None] = nullcontext()
    """Entered for as long as it is open."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.counted:
            await super().__call__(scope, receive, send)

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        await send(message)


def _respond(
    frames: AsyncGenerator[bytes, None], counted: AbstractContextManager[None] | None = None
) -> EventSourceResponse:
    # `watch` sends the pings itself: a task for each of a thousand clients would do nothing else.
    stream = _Stream(frames, sep="\n", ping=0, shutdown_grace_period=GOODBYE_SECONDS)
    stream.counted = counted or nullcontext()
    return stream


def _too_many(streams: int) -> TooManyRequests:
    message = f"You have {streams} event streams open here, as many as STREAMS_PER_USER allows; close some"
    return TooManyRequests(message, retry_after=RETRY_SECONDS)


async def _happens(event: asyncio.Event, *, within: timedelta) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            return await event.wait()
    return False


def _last_frame(tail: _Tail, data: bytes) -> Frame:
    return Frame(seq=tail.newest + 1, is_terminal=True, data=data)


async def _just(*frames: bytes) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame
