"""What people ask of syncs: start one or join the one that is going on, look at runs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.principal import Principal
from integrations_api.api.ids import as_id
from integrations_api.api.pagination import cut, decode_cursor, encode_cursor
from integrations_api.connectors.records import Mode
from integrations_api.db.direct import Row, connected
from integrations_api.db.engine import Sessions
from integrations_api.errors import Conflict, FieldProblem, InvalidInput, NotFound
from integrations_api.integrations import for_sync
from integrations_api.integrations.for_sync import IntegrationReader
from integrations_api.knowledge import staging
from integrations_api.knowledge.models import RejectedRecord
from integrations_api.logs import bind
from integrations_api.sync import repository
from integrations_api.sync.models import SyncRun
from integrations_api.sync.queueing import queue_run
from integrations_api.sync.recording import record_start
from integrations_api.sync.runs import is_final, read_mode
from integrations_api.sync.sources import Sources


class Position(Struct, frozen=True):
    """A place in a run's log: after event number `after`; `is_over` says that nothing follows.

    `is_final` says that the run has ended: all that follows is written.
    """

    run_id: UUID
    after: int
    is_over: bool = False
    is_final: bool = False

    @classmethod
    def parse(cls, event_id: str) -> "Position":
        """From `<run id>:<seq>`. Raises `InvalidInput`."""
        run, _, seq = event_id.partition(":")
        try:
            return cls(run_id=UUID(run), after=min(max(int(seq), 0), 2**31 - 1))
        except ValueError:
            raise _wrong_event_id("expected <run id>:<number> as this service sent it") from None


def _wrong_event_id(message: str) -> InvalidInput:
    return InvalidInput.of([FieldProblem("Last-Event-ID", message)])


def _position(run: SyncRun | Row, *, after: int) -> Position:
    bind(run_id=str(run.id), integration_id=str(run.dataset_id))
    ended = is_final(run.state)
    # Nobody has seen more than there is; and who joins first decides where the log is read from for all.
    after = min(after, run.last_event)
    return Position(run_id=run.id, after=after, is_over=ended and after == run.last_event, is_final=ended)


class SyncService:
    """Each method is one transaction."""

    def __init__(self, *, sessions: Sessions, integrations: IntegrationReader, sources: Sources) -> None:
        self._sessions = sessions
        self._integrations = integrations
        self.sources = sources

    async def start(self, integration_id: UUID, *, mode: Mode, principal: Principal) -> UUID:
        """Starts a run, or gives the one that is going on. Its row and its job are committed together.

        Raises `NotFound`, `InvalidInput` (disabled, unsupported, not configured), and `Conflict` when a full sync is
        asked for while an incremental one is going on.
        """
        try:
            async with self._sessions.begin() as session:
                return await self._start(session, integration_id, mode=mode, principal=principal)
        except IntegrityError:
            raise NotFound("Integration not found") from None  # It was deleted while we looked at it.

    async def _start(self, session: AsyncSession, integration_id: UUID, *, mode: Mode, principal: Principal) -> UUID:
        integration = await self._integrations.load(session, integration_id)
        if not integration.is_active:
            raise InvalidInput("Integration is disabled")
        self.sources.check(integration)
        queued = await queue_run(session, integration_id, mode=mode, trigger="manual", by=principal)
        if queued is not None:
            return queued
        turned = await repository.turn_into_sync(
            session, integration_id, mode=mode, trigger="manual", requested_by=principal.user_id
        )
        if turned is None:
            running = await self._join(session, integration_id, mode=mode)
            # Where it has ended between our statements, the next ones see that, and there is room for a new one.
            return running or await self._start(session, integration_id, mode=mode, principal=principal)
        await record_start(session, run_id=turned, dataset_id=integration_id, mode=mode, trigger="manual", by=principal)
        return turned

    async def start_or_resume(
        self, integration_id: str, *, mode: str, last_event_id: str | None, principal: Principal
    ) -> Position:
        """Where a POST's stream begins. Raises what `start` raises, and the same for ids that are none."""
        wanted = as_id(integration_id, "Integration not found")
        if last_event_id is not None:
            return await self._resume(wanted, last_event_id)
        run_id = await self.start(wanted, mode=read_mode(mode), principal=principal)
        bind(run_id=str(run_id))
        return Position(run_id=run_id, after=0)

    async def _resume(self, integration_id: UUID, last_event_id: str) -> Position:
        """The position in the run that is named there. Raises `NotFound`, and `InvalidInput` for another's run."""
        position = Position.parse(last_event_id)
        run = await self._progress_of(position.run_id)
        if run.dataset_id != integration_id:
            raise _wrong_event_id("belongs to a run of another integration")
        return _position(run, after=position.after)

    async def _progress_of(self, run_id: UUID) -> Row:
        async with connected(self._sessions) as connection:
            run = await repository.find_progress(connection, run_id)
        if run is None:
            raise NotFound("Sync run not found")
        return run

    async def position_in(self, run_id: UUID, *, last_event_id: str | None) -> Position:
        """Where a stream of this run begins. Raises `NotFound`, and `InvalidInput` for an id of another run."""
        run = await self._progress_of(run_id)
        position = Position.parse(last_event_id) if last_event_id else Position(run_id=run_id, after=0)
        if position.run_id != run_id:
            raise _wrong_event_id("belongs to another run; ask for that run's events")
        return _position(run, after=position.after)

    async def latest_position(self, integration_id: UUID, *, last_event_id: str | None) -> Position:
        """Where a stream of the running, or else the latest, run begins; a `last_event_id` names its own run.

        Raises `NotFound`, `InvalidInput`.
        """
        if last_event_id:
            return await self._resume(integration_id, last_event_id)
        async with self._sessions() as session:
            latest = await repository.latest_sync(session, integration_id)
            if latest is None:
                await for_sync.get(session, integration_id)
                raise NotFound("This integration has not been synced yet")
        return _position(latest, after=0)

    async def _join(self, session: AsyncSession, integration_id: UUID, *, mode: Mode) -> UUID | None:
        running = await repository.find_active(session, integration_id)
        if running is not None and mode == "full" and running.mode != "full":
            raise Conflict("An incremental sync is going on: ask for the full one when it has ended")
        return running.id if running is not None else None

    async def get_run(self, run_id: UUID) -> SyncRun:
        """Raises `NotFound`."""
        async with self._sessions() as session:
            run = await repository.find_run(session, run_id)
        if run is None:
            raise NotFound("Sync run not found")
        bind(run_id=str(run.id), integration_id=str(run.dataset_id))
        return run

    async def list_runs(
        self, integration_id: UUID, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[SyncRun], str | None]:
        """Runs of an integration, newest first, of one that was deleted too; and the cursor of the next page.

        Raises `NotFound`, and `InvalidInput` for a cursor that is none of ours.
        """
        before = None if cursor is None else decode_cursor(cursor, datetime, UUID)
        async with self._sessions() as session:
            runs = await repository.page_of_runs(session, integration_id=integration_id, before=before, limit=limit + 1)
            if not runs and cursor is None:
                await for_sync.get(session, integration_id)
        page, last = cut(runs, limit)
        return page, encode_cursor(last.created_at, last.id) if last else None

    async def list_rejected(
        self, run_id: UUID, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[RejectedRecord], str | None]:
        """Records of a run that could not be mapped, by external id. Raises `NotFound`, `InvalidInput`."""
        await self.get_run(run_id)
        after = "" if cursor is None else decode_cursor(cursor, str)[0]
        async with self._sessions() as session:
            found = await staging.rejections_of(session, run_id=run_id, after=after, limit=limit + 1)
        page, last = cut(found, limit)
        return page, encode_cursor(last.external_id) if last else None
