"""`/integrations/sync` and `/integrations/runs`: start or join a sync and watch it, look at runs."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Body, Depends, Header, Path, Query, Response
from sse_starlette import EventSourceResponse

from integrations_api.access.dependencies import require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate
from integrations_api.api.answers import answer
from integrations_api.api.components import component
from integrations_api.api.envelope import SuccessMessage
from integrations_api.api.ids import as_id
from integrations_api.api.openapi import answers, errors
from integrations_api.api.page_parameters import Cursor, Limit
from integrations_api.api.pagination import DEFAULT_LIMIT
from integrations_api.api.routes import Router
from integrations_api.connectors.records import Check
from integrations_api.errors import ApplicationError
from integrations_api.integrations.schemas import CREATE_EXAMPLE, IntegrationIn
from integrations_api.knowledge.router import DatasetId, VersionNumber
from integrations_api.knowledge.schemas import VersionAnswer
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.sync.control import RunControl
from integrations_api.sync.dependencies import MayWatchRun
from integrations_api.sync.docs import STREAM, TOO_MANY, WATCHED
from integrations_api.sync.edit_schemas import EDIT_EXAMPLE, EditPreviewAnswer
from integrations_api.sync.schemas import (
    CANCELLED_RUN,
    RESUMED_RUN,
    CheckOnTheWire,
    ChecksAnswer,
    PreviewAnswer,
    PreviewedIncident,
    RejectedAnswer,
    RejectedOnTheWire,
    RollbackAnswer,
    RollbackRequest,
    RunAnswer,
    RunOnTheWire,
    RunsAnswer,
    TicketAnswer,
)
from integrations_api.sync.service import SyncService
from integrations_api.sync.stream import RunStreams
from integrations_api.sync.tickets import Tickets
from integrations_api.sync.trial import Trial

router = Router(prefix="/integrations", tags=["sync"])
decisions = Router(prefix="/knowledge", tags=["knowledge"])
"""What is decided about versions needs the runs that made them, so it is routed here."""

Syncs = Annotated[SyncService, Depends(component(SyncService))]
Streams = Annotated[RunStreams, Depends(component(RunStreams))]
MaySync = Annotated[Principal, Depends(require(Permission.INTEGRATION_SYNC))]
MayTry = Annotated[Principal, Depends(require(Permission.INTEGRATION_SYNC, Rate.TRIAL))]
MayView = Annotated[Principal, Depends(require(Permission.INTEGRATION_VIEW))]
MayAskForTickets = Annotated[Principal, Depends(require(Permission.INTEGRATION_VIEW, Rate.TICKET))]
LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="Resume after this event: `<run id>:<seq>`.")
]
LastEventIdInUrl = Annotated[
    str | None, Query(alias="last_event_id", description="The same, for clients without headers.")
]
TicketDesk = Annotated[Tickets, Depends(component(Tickets))]
Knowledge = Annotated[KnowledgeService, Depends(component(KnowledgeService))]
MayRollBack = Annotated[Principal, Depends(require(Permission.KNOWLEDGE_ROLLBACK))]
IntegrationId = Annotated[str, Path(description="The integration's UUID.")]
RunId = Annotated[str, Path(description="The run's UUID.")]
MayTryEdit = Annotated[Principal, Depends(require(Permission.INTEGRATION_EDIT, Rate.TRIAL))]
MayCreate = Annotated[Principal, Depends(require(Permission.INTEGRATION_CREATE, Rate.TRIAL))]
Trials = Annotated[Trial, Depends(component(Trial))]
Control = Annotated[RunControl, Depends(component(RunControl))]

_DECIDED = "Version 3 is published, not held: there is nothing to decide"


@router.post(
    "/sync/{integration_id}",
    summary="Trigger manual sync",
    response_class=EventSourceResponse,
    responses={**errors(401, 403), 200: STREAM},
)
async def trigger_sync(
    integration_id: IntegrationId,
    principal: MaySync,
    syncs: Syncs,
    streams: Streams,
    mode: Annotated[str, Query(description="`incremental` (default) or `full`.")] = "incremental",
    header: LastEventId = None,
    query: LastEventIdInUrl = None,
) -> Response:
    """Starts a sync, or joins the one that is going on from its first event, and streams its progress.

    Every outcome is an event of a 200: also an unknown or disabled integration, or a missing configuration. A client
    that leaves does not stop the sync. With `Last-Event-ID` (or `last_event_id`) no sync is started: the run that is
    named there is streamed on.
    """
    try:
        position = await syncs.start_or_resume(
            integration_id, mode=mode, last_event_id=query if header is None else header, principal=principal
        )
        return await streams.answer(position, of=principal.user_id)
    except ApplicationError as error:
        return streams.answer_with(error.message)


@router.get(
    "/sync/{integration_id}/events",
    summary="Watch the running or the latest sync",
    response_class=EventSourceResponse,
    responses={
        **errors(401, 403, 404, 422, 429, m404="This integration has not been synced yet", m429=TOO_MANY),
        **WATCHED,
    },
)
async def watch_integration(
    integration_id: IntegrationId,
    principal: MayView,
    syncs: Syncs,
    streams: Streams,
    header: LastEventId = None,
    query: LastEventIdInUrl = None,
) -> Response:
    """The same events as the POST's, without starting anything. `Last-Event-ID` names its own run and resumes there."""
    wanted = as_id(integration_id, "Integration not found")
    position = await syncs.latest_position(wanted, last_event_id=header or query)
    return await streams.answer_watcher(position, of=principal.user_id)


@router.get(
    "/runs/{run_id}/events",
    summary="Watch a run",
    response_class=EventSourceResponse,
    responses={**errors(401, 403, 404, 422, 429, m404="Sync run not found", m429=TOO_MANY), **WATCHED},
)
async def watch_run(
    run_id: RunId,
    principal: MayWatchRun,
    syncs: Syncs,
    streams: Streams,
    header: LastEventId = None,
    query: LastEventIdInUrl = None,
) -> Response:
    """Every event of one run, from its first or from after `Last-Event-ID`; a browser signs in by `?ticket=`."""
    wanted = as_id(run_id, "Sync run not found")
    position = await syncs.position_in(wanted, last_event_id=header or query)
    return await streams.answer_watcher(position, of=principal.user_id)


@router.post(
    "/runs/{run_id}/ticket",
    summary="Get a ticket for a browser's EventSource",
    responses=errors(401, 403, 404, 429, m404="Sync run not found"),
)
async def give_ticket(run_id: RunId, principal: MayAskForTickets, tickets: TicketDesk) -> TicketAnswer:
    """`/integrations/runs/{run_id}/events?ticket=…` then needs no bearer token: an EventSource cannot send one.

    It is good for this run only, must be used within a minute, and then serves reconnects too: for a day, or less where
    the token or API key that it was asked for with ends before.
    """
    given = await tickets.give(as_id(run_id, "Sync run not found"), principal=principal)
    return TicketAnswer(ticket=given.text, expires_in=int(given.first_use_within.total_seconds()))


@router.post(
    "/sync/{integration_id}/cancel",
    summary="Cancel the running sync",
    responses=answers(
        200,
        {"run": CANCELLED_RUN},
        *(401, 403, 404, 409),
        m404="Integration not found",
        m409="No sync of this integration is going on",
    ),
)
async def cancel_sync(integration_id: IntegrationId, principal: MaySync, control: Control) -> RunAnswer:
    """Ends the run that is going on; who watches it gets an `error` event. Nothing of it is published."""
    run = await control.cancel(as_id(integration_id, "Integration not found"), principal=principal)
    return RunAnswer(run=RunOnTheWire.of(run))


@router.post(
    "/runs/{run_id}/resume",
    summary="Resume a failed run",
    responses=answers(
        200,
        {"run": RESUMED_RUN},
        *(401, 403, 404, 409),
        m404="Sync run not found",
        m409="Only a failed run can be resumed; this one is succeeded",
    ),
)
async def resume_run(run_id: RunId, principal: MaySync, control: Control) -> RunAnswer:
    """Goes on where the last commit was, with everything that was fetched before."""
    run = await control.resume(as_id(run_id, "Sync run not found"), principal=principal)
    return RunAnswer(run=RunOnTheWire.of(run))


@router.get(
    "/sync/{integration_id}/runs",
    summary="List sync runs",
    responses=errors(401, 403, 404, 422, m404="Integration not found"),
)
async def list_runs(
    integration_id: IntegrationId, principal: MayView, syncs: Syncs, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> RunsAnswer:
    """Runs of an integration, newest first; the history of a deleted one stays."""
    wanted = as_id(integration_id, "Integration not found")
    runs, next_cursor = await syncs.list_runs(wanted, limit=limit, cursor=cursor)
    return RunsAnswer(runs=[RunOnTheWire.of(run) for run in runs], next_cursor=next_cursor)


@router.get("/runs/{run_id}", summary="Get a sync run", responses=errors(401, 403, 404, m404="Sync run not found"))
async def get_run(run_id: RunId, principal: MayView, syncs: Syncs) -> RunAnswer:
    """What a run did, how far it is, and its verdict."""
    run = await syncs.get_run(as_id(run_id, "Sync run not found"))
    return RunAnswer(run=RunOnTheWire.of(run))


@router.get(
    "/runs/{run_id}/rejected",
    summary="List the records a run could not map",
    responses=errors(401, 403, 404, 422, m404="Sync run not found"),
)
async def list_rejected(
    run_id: RunId, principal: MayView, syncs: Syncs, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> RejectedAnswer:
    """Each with its reason. They are tried again by the next run; the rest of this run was stored."""
    wanted = as_id(run_id, "Sync run not found")
    rejected, next_cursor = await syncs.list_rejected(wanted, limit=limit, cursor=cursor)
    return RejectedAnswer(
        rejected=[RejectedOnTheWire.model_validate(one, from_attributes=True) for one in rejected],
        next_cursor=next_cursor,
    )


@router.post(
    "/test",
    summary="Test a connection before it is stored",
    responses=errors(401, 403, 413, 415, 422, 429, m422="config.password: is required"),
)
async def test_unsaved(
    sent: Annotated[IntegrationIn, Body(openapi_examples={"servicenow": {"value": CREATE_EXAMPLE}})],
    principal: MayCreate,
    trial: Trials,
) -> ChecksAnswer:
    """A preflight of named checks, each with what was seen and the remedy in words. Reads only; takes seconds."""
    return _checks(await trial.test_unsaved(sent, principal=principal))


@router.post(
    "/test/{integration_id}",
    summary="Test a stored connection",
    responses=errors(401, 403, 404, 422, 429, m404="Integration not found"),
)
async def test_stored(integration_id: IntegrationId, principal: MayTry, trial: Trials) -> ChecksAnswer:
    """The same preflight with the stored secrets. Reads only; takes seconds."""
    return _checks(await trial.test(as_id(integration_id, "Integration not found"), principal=principal))


@router.get(
    "/preview/{integration_id}",
    summary="Preview the next sync",
    responses=errors(401, 403, 404, 422, 429, m404="Integration not found"),
)
async def preview(integration_id: IntegrationId, principal: MayTry, trial: Trials) -> PreviewAnswer:
    """How many records the next sync would read, and five of them as they would be stored. Nothing is written.
    As it shows incidents, it needs `knowledge.view` as well."""
    shown = await trial.preview(as_id(integration_id, "Integration not found"), principal=principal)
    return PreviewAnswer(
        mode=shown.mode,
        to_read=shown.to_read,
        notes=list(shown.notes),
        incidents=[PreviewedIncident.of(record) for record in shown.records],
    )


@router.post(
    "/preview/{integration_id}",
    summary="Preview an edit before it is stored",
    responses=errors(401, 403, 404, 413, 415, 422, 429, m404="Integration not found", m422="config.url: is required"),
)
async def preview_edit(
    integration_id: IntegrationId,
    sent: Annotated[IntegrationIn, Body(openapi_examples={"more columns": {"value": EDIT_EXAMPLE}})],
    principal: MayTryEdit,
    trial: Trials,
) -> EditPreviewAnswer:
    """Five stored incidents as they are, and as they would be under the config that is sent. Nothing is written.
    As it shows incidents, it needs `knowledge.view` as well.

    The body is that of an update; a secret that comes back as the mask is the stored one. `fields` also names what the
    source has changed since the last sync.
    """
    wanted = as_id(integration_id, "Integration not found")
    return EditPreviewAnswer.of(await trial.preview_edit(wanted, sent, principal=principal))


def _checks(checks: Sequence[Check]) -> ChecksAnswer:
    return ChecksAnswer(checks=[CheckOnTheWire.model_validate(check, from_attributes=True) for check in checks])


@decisions.post(
    "/datasets/{integration_id}/versions/{n}/publish",
    summary="Publish a held version",
    response_model=VersionAnswer,
    responses=errors(401, 403, 404, 409, 422, m404="There is no version 7", m409=_DECIDED),
)
async def publish_held(
    integration_id: DatasetId, n: VersionNumber, principal: MayRollBack, control: Control, knowledge: Knowledge
) -> Response:
    """A sync that would remove unusually many documents holds its version until somebody decides.

    A schedule that paused for it stays paused until it is set again.
    """
    await control.publish_held(integration_id, n, principal=principal)
    return answer(version=await knowledge.version(integration_id, n))


@decisions.post(
    "/datasets/{integration_id}/versions/{n}/discard",
    summary="Discard a held version",
    responses=errors(401, 403, 404, 409, 422, m404="There is no version 7", m409=_DECIDED),
)
async def discard_held(
    integration_id: DatasetId, n: VersionNumber, principal: MayRollBack, control: Control
) -> SuccessMessage:
    """Readers stay on the version before; the next full sync finds the same changes again."""
    await control.discard_held(integration_id, n, principal=principal)
    return SuccessMessage(message=f"Version {n} was discarded")


@decisions.post(
    "/datasets/{integration_id}/versions/{n}/rollback",
    summary="Roll back to a version",
    response_model=RollbackAnswer,
    responses=errors(
        401, 403, 404, 409, 413, 415, 422,
        m404="There is no version 7",
        m409="A sync is going on: wait for it, or cancel it first",
    ),
)  # fmt: skip
async def roll_back(
    integration_id: DatasetId,
    n: VersionNumber,
    sent: RollbackRequest,
    principal: MayRollBack,
    control: Control,
    knowledge: Knowledge,
) -> Response:
    """Makes a new version that equals version n, so that it can itself be undone by rolling back to the one before.

    The next sync reads everything, whatever is asked, and a schedule pauses until it is resumed.
    """
    done = await control.roll_back(integration_id, n, reason=sent.reason, principal=principal)
    follows = " The next sync reads everything from the source." if done.is_synced else ""
    pause = " The schedule is paused until you resume it." if done.schedule_paused else ""
    message = f"Version {done.number} now equals version {n}.{follows}{pause}"
    return answer(version=await knowledge.version(integration_id, done.number), message=message)
