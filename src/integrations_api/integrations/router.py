"""`/integrations`: configured connections to external systems."""

from functools import cache
from typing import Annotated, Any
from uuid import UUID

from fastapi import Body, Depends, Header, Path, Query, Request, Response

from integrations_api.access.dependencies import require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.api.answers import answer, created
from integrations_api.api.components import component
from integrations_api.api.envelope import SuccessMessage
from integrations_api.api.ids import as_id
from integrations_api.api.openapi import answers, errors
from integrations_api.api.page_parameters import Cursor
from integrations_api.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from integrations_api.api.routes import Router
from integrations_api.clock import utc_now
from integrations_api.connectors.registry import services
from integrations_api.integrations.applications import redirect_uri_of
from integrations_api.integrations.etags import revisions_of
from integrations_api.integrations.schedules import read_schedule
from integrations_api.integrations.schemas import (
    CREATE_EXAMPLE,
    CREATED_EXAMPLE,
    INTEGRATION_EXAMPLE,
    UPDATE_EXAMPLE,
    UPDATED_EXAMPLE,
    IntegrationAnswer,
    IntegrationIn,
    IntegrationsAnswer,
    ScheduleIn,
    SecretOut,
    SecretsAnswer,
    ServicesAnswer,
)
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.integrations.service import IntegrationService, Revised
from integrations_api.settings import Settings

router = Router(prefix="/integrations", tags=["integrations"])

Integrations = Annotated[IntegrationService, Depends(component(IntegrationService))]
Secrets = Annotated[SecretKeeper, Depends(component(SecretKeeper))]
Viewer = Annotated[Principal, Depends(require(Permission.INTEGRATION_VIEW))]
Creator = Annotated[Principal, Depends(require(Permission.INTEGRATION_CREATE))]
Editor = Annotated[Principal, Depends(require(Permission.INTEGRATION_EDIT))]
Deleter = Annotated[Principal, Depends(require(Permission.INTEGRATION_DELETE))]

_NOT_FOUND = "Integration not found"
_MISSING_KEY = "config.password: is required"


@cache
def _described_services(redirect_uri: str) -> list[dict[str, Any]]:
    """The registry as it leaves; it does not change while the process lives."""
    return [
        {
            "service_name": service.name,
            "auth_types": [
                {
                    "auth_type": kind.name,
                    "schema": kind.schema,
                    "redirect_uri": redirect_uri if kind.name == "oauth2" else None,
                }
                for kind in service.auth_types.values()
            ],
        }
        for service in services()
    ]


async def integration_id(
    integration_id: Annotated[
        str, Path(description="The integration's UUID.", examples=["550e8400-e29b-41d4-a716-446655440000"])
    ],
) -> UUID:
    """The id of a path. One that is no UUID names no integration: `NotFound`."""
    return as_id(integration_id, _NOT_FOUND)


Id = Annotated[UUID, Depends(integration_id)]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=1000, description="The `ETag` it was read with.", examples=['"1"'])
]


def _tagged(revised: Revised) -> Response:
    """The integration, with its revision as `ETag`: an edit of config or schedule changes it, a sync does not."""
    response = answer(integration=revised.integration)
    response.headers["ETag"] = f'"{revised.revision}"'
    return response


@router.get(
    "/all",
    summary="List all integrations",
    response_model=IntegrationsAnswer,
    responses=answers(200, {"integrations": [INTEGRATION_EXAMPLE]}, 401, 403, 422),
)
async def list_all(
    _: Viewer,
    integrations: Integrations,
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_LIMIT, description="Most items in one answer; absent: all of them.")
    ] = None,
    cursor: Cursor = None,
) -> Response:
    """Every integration, newest first, secrets shown as `********`.

    With `limit` or `cursor` the list comes in pages, and the answer says `next_cursor` (null at the end).
    """
    if limit is None and cursor is None:
        return answer(integrations=await integrations.list_all())
    page, next_cursor = await integrations.list_page(limit=limit or DEFAULT_LIMIT, cursor=cursor)
    return answer(integrations=page, next_cursor=next_cursor)


@router.get(
    "/services",
    summary="List the services that can be synchronised",
    response_model=ServicesAnswer,
    responses=errors(401, 403),
)
async def list_services(_: Viewer, chosen: Annotated[Settings, Depends(component(Settings))]) -> Response:
    """Which services there are connectors for, and for each way to sign in the JSON Schema of its config.

    Keys that only a certain `grant` requires stand in `allOf`; the others of `properties` are for every grant.
    """
    return answer(services=_described_services(redirect_uri_of(chosen.public_url)))


@router.get(
    "/id/{integration_id}",
    summary="Get one integration",
    response_model=IntegrationAnswer,
    responses=answers(200, {"integration": INTEGRATION_EXAMPLE}, 401, 403, 404, 422, m404=_NOT_FOUND),
)
async def get_one(_: Viewer, integration_id: Id, integrations: Integrations) -> Response:
    """One integration, its secrets shown as `********`."""
    return _tagged(await integrations.get(integration_id))


@router.get(
    "/secrets/{integration_id}",
    summary="Tell which secrets are set",
    responses=errors(401, 403, 404, m404=_NOT_FOUND),
)
async def secrets(_: Viewer, integration_id: Id, keeper: Secrets) -> SecretsAnswer:
    """Which secrets of an integration are set, and since when; never a part of one."""
    names = await keeper.names(integration_id)
    return SecretsAnswer(secrets=[SecretOut(name=one.name, set_at=one.set_at) for one in names])


@router.post(
    "/create",
    summary="Create an integration",
    status_code=201,
    response_model=IntegrationAnswer,
    responses=answers(201, {"integration": CREATED_EXAMPLE}, 401, 403, 413, 415, 422, m422=_MISSING_KEY),
)
async def create(
    principal: Creator,
    sent: Annotated[IntegrationIn, Body(openapi_examples={"servicenow": {"value": CREATE_EXAMPLE}})],
    integrations: Integrations,
    request: Request,
) -> Response:
    """Stores a connection to any service; one there is a connector for is checked against its schema.

    The first word of `service_name` picks the connector, in any case. `config.lastSynced`, where it is sent, is the
    start of the first sync; without it that one reads everything.
    """
    new = await integrations.create(sent, principal=principal)
    return created(_tagged(new), request, f"/integrations/id/{new.integration['id']}")


@router.put(
    "/update/{integration_id}",
    summary="Replace an integration",
    response_model=IntegrationAnswer,
    responses=answers(
        200,
        {"integration": UPDATED_EXAMPLE},
        *(401, 403, 404, 412, 413, 415, 422),
        m404=_NOT_FOUND,
        m422="Re-enter the password: the URL points to another origin",
    ),
)
async def update(
    principal: Editor,
    integration_id: Id,
    sent: Annotated[IntegrationIn, Body(openapi_examples={"servicenow": {"value": UPDATE_EXAMPLE}})],
    integrations: Integrations,
    if_match: IfMatch = None,
) -> Response:
    """Replaces all four fields, the whole config included.

    With `If-Match` only if nobody else has edited it since it was read; a sync in between does not count as an edit.

    A secret sent as exactly `********` stays as it is stored, unless the origin of `url` changes: then it has to be
    entered again. A secret that is left out is removed. Fields that only the service writes (`id`, `updated_at`, …)
    may be sent back and are passed over. Pointing to another source (origin, table, filter) ends a running sync and
    makes the next one read everything. `config.lastSynced` can move the start of the next sync back, never forward.
    """
    updated = await integrations.update(integration_id, sent, principal=principal, revisions=revisions_of(if_match))
    return _tagged(updated)


@router.put(
    "/schedule/{integration_id}",
    summary="Schedule syncs",
    response_model=IntegrationAnswer,
    responses=answers(
        200,
        {"integration": INTEGRATION_EXAMPLE | {"schedule": {"cron": "0 6 * * 1-5", "time_zone": "UTC"}}},
        401, 403, 404, 412, 413, 415, 422,
        m404=_NOT_FOUND,
        m422="cron: must be five fields: minute hour day month weekday, such as 0 6 * * 1-5",
    ),
)  # fmt: skip
async def schedule_integration(
    principal: Editor,
    integration_id: Id,
    sent: Annotated[
        ScheduleIn | None,
        Body(
            openapi_examples={
                "workdays": {"value": {"cron": "0 6 * * 1-5", "time_zone": "UTC"}},
                "end": {"value": {"cron": None, "time_zone": "UTC"}},
            }
        ),
    ],
    integrations: Integrations,
    if_match: IfMatch = None,
) -> Response:
    """Syncs by itself from now on, or no more (null). A due sync starts once, however many processes run; times missed
    while the service was down count as one. Such a sync is incremental, unless the next one has to read everything
    anyway. Setting a schedule resumes one that was paused.

    With `If-Match` only if nobody else has edited the integration or its schedule since it was read.
    """
    schedule = None
    if sent is not None and sent.cron is not None:
        schedule = read_schedule(sent.cron, sent.time_zone, now=utc_now())
    scheduled = await integrations.set_schedule(
        integration_id, schedule, principal=principal, revisions=revisions_of(if_match)
    )
    return _tagged(scheduled)


@router.delete(
    "/delete/{integration_id}",
    summary="Delete an integration",
    responses=answers(200, {"message": "Integration deleted successfully"}, 401, 403, 404, 412, 422, m404=_NOT_FOUND),
)
async def delete(
    principal: Deleter,
    integration_id: Id,
    integrations: Integrations,
    purge: Annotated[
        bool,
        Query(
            description="Also remove the published dataset and the run history (permission knowledge.purge), "
            "also of an integration that was deleted before.",
        ),
    ] = False,
    if_match: IfMatch = None,
) -> SuccessMessage:
    """Removes an integration, its config and its secrets for good, and ends a sync that is going on.

    What it published stays readable under `/knowledge`, unless `purge=true`. With `If-Match` only if nobody else has
    edited it since it was read.
    """
    await integrations.delete(integration_id, principal=principal, purge=purge, revisions=revisions_of(if_match))
    return SuccessMessage(message="Integration deleted successfully")
