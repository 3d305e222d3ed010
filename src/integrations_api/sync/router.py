"""`/integrations/sync` and `/integrations/runs`: start or join a sync and watch it, look at runs."""

from typing import Annotated

from fastapi import Depends, Header, Query
from sse_starlette import EventSourceResponse

from integrations_api.access.dependencies import require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.components import component
from integrations_api.api.openapi import errors
from integrations_api.api.pagination import DEFAULT_LIMIT, Cursor, Limit
from integrations_api.api.routes import Router
from integrations_api.errors import ApplicationError
from integrations_api.sync.docs import STREAM
from integrations_api.sync.schemas import RejectedAnswer, RejectedOnTheWire, RunAnswer, RunOnTheWire, RunsAnswer
from integrations_api.sync.service import SyncService, as_id
from integrations_api.sync.stream import RunStreams

router = Router(prefix="/integrations", tags=["sync"])

Syncs = Annotated[SyncService, Depends(component(SyncService))]
Streams = Annotated[RunStreams, Depends(component(RunStreams))]
MaySync = Annotated[Principal, Depends(require(Permission.INTEGRATION_SYNC))]
MayView = Annotated[Principal, Depends(require(Permission.INTEGRATION_VIEW))]
LastEventId = Annotated[str | None, Header(max_length=200, description="Resume after this event: `<run id>:<seq>`.")]


@router.post(
    "/sync/{integration_id}",
    summary="Trigger manual sync",
    response_class=EventSourceResponse,
    responses={**errors(401, 403, m403="Missing permission: integration.sync"), 200: STREAM},
)
async def trigger_sync(
    integration_id: str,
    principal: MaySync,
    syncs: Syncs,
    streams: Streams,
    mode: Annotated[str, Query(max_length=20, description="`incremental` (default) or `full`.")] = "incremental",
    last_event_id: LastEventId = None,
) -> EventSourceResponse:
    """Starts a sync, or joins the one that is going on from its first event, and streams its progress.

    Every outcome is an event of a 200: also an unknown or disabled integration, or a missing configuration. A client
    that leaves does not stop the sync. With `Last-Event-ID` no sync is started: the run named there is streamed on.
    """
    try:
        position = await syncs.start_or_resume(
            integration_id, mode=mode, last_event_id=last_event_id, principal=principal
        )
    except ApplicationError as error:
        return streams.answer_with(error.message)
    return streams.answer(position)


@router.get(
    "/sync/{integration_id}/runs",
    summary="List sync runs",
    responses=errors(401, 403, 404, 422, m404="Integration not found"),
)
async def list_runs(
    integration_id: str, principal: MayView, syncs: Syncs, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> RunsAnswer:
    """Runs of an integration, newest first; the history of a deleted one stays."""
    wanted = as_id(integration_id, "Integration not found")
    runs, next_cursor = await syncs.list_runs(wanted, limit=limit, cursor=cursor)
    return RunsAnswer(runs=[RunOnTheWire.of(run) for run in runs], next_cursor=next_cursor)


@router.get("/runs/{run_id}", summary="Get a sync run", responses=errors(401, 403, 404, m404="Sync run not found"))
async def get_run(run_id: str, principal: MayView, syncs: Syncs) -> RunAnswer:
    """What a run did, how far it is, and its verdict."""
    run = await syncs.get_run(as_id(run_id, "Sync run not found"))
    return RunAnswer(run=RunOnTheWire.of(run))


@router.get(
    "/runs/{run_id}/rejected",
    summary="List the records a run could not map",
    responses=errors(401, 403, 404, 422, m404="Sync run not found"),
)
async def list_rejected(
    run_id: str, principal: MayView, syncs: Syncs, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> RejectedAnswer:
    """Each with its reason. They are tried again by the next run; the rest of this run was stored."""
    wanted = as_id(run_id, "Sync run not found")
    rejected, next_cursor = await syncs.list_rejected(wanted, limit=limit, cursor=cursor)
    return RejectedAnswer(
        rejected=[RejectedOnTheWire.model_validate(one, from_attributes=True) for one in rejected],
        next_cursor=next_cursor,
    )
