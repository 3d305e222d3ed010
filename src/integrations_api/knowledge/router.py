"""`/knowledge`: datasets, versions, what is in them, how they differ, exports, single incidents and their history."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints
from starlette.convertors import Convertor, register_url_convertor

from integrations_api.access.dependencies import require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate
from integrations_api.api.answers import answer
from integrations_api.api.components import component
from integrations_api.api.openapi import errors
from integrations_api.api.page_parameters import Cursor, Limit
from integrations_api.api.pagination import DEFAULT_LIMIT
from integrations_api.api.routes import Router
from integrations_api.knowledge.cursors import (
    NEWEST_VERSION,
    change_of,
    cursor_after,
    cursor_before,
    cursor_before_change,
    key_of,
    version_of,
)
from integrations_api.knowledge.diffing import KINDS, DiffQuestion, Kind
from integrations_api.knowledge.examples import EXPORT_CSV, EXPORT_LINE, SEVERAL
from integrations_api.knowledge.exporting import Format
from integrations_api.knowledge.repository import BEGINNING
from integrations_api.knowledge.schemas import (
    DatasetAnswer,
    DatasetsAnswer,
    DiffAnswer,
    HistoryAnswer,
    IncidentAnswer,
    IncidentsAnswer,
    PurgeAnswer,
    PurgeRequest,
    VersionAnswer,
    VersionsAnswer,
)
from integrations_api.knowledge.service import KnowledgeService

router = Router(prefix="/knowledge", tags=["knowledge"])

Knowledge = Annotated[KnowledgeService, Depends(component(KnowledgeService))]
Viewer = Annotated[Principal, Depends(require(Permission.KNOWLEDGE_VIEW))]
Comparer = Annotated[Principal, Depends(require(Permission.KNOWLEDGE_VIEW, Rate.DIFF))]
Exporter = Annotated[Principal, Depends(require(Permission.KNOWLEDGE_VIEW, Rate.EXPORT))]
Purger = Annotated[Principal, Depends(require(Permission.KNOWLEDGE_PURGE))]
DatasetId = Annotated[UUID, Path(description="The integration's id; it stays when the integration is deleted.")]
VersionNumber = Annotated[int, Path(ge=1, le=NEWEST_VERSION, description="A version's number.")]
Number = Annotated[
    str, Path(description="An incident's number (a slash or # in it percent-encoded) or its document id.")
]
Integration = Annotated[
    UUID | None, Query(description="Only in the dataset of this integration: needed where several know the number.")
]
AsOf = Annotated[
    int | None,
    Query(ge=1, le=NEWEST_VERSION, description="The version that is to answer; by default the head."),
]
Include = Annotated[
    list[Literal["tombstones"]] | None, Query(description="`tombstones`: also what is gone at the source.")
]


class _IncidentConvertor(Convertor[str]):
    """The rest of a path, slashes included (owner/repo#45), unless it names something of an incident's own.

    So the route of an incident leaves alone what other routes and rooms hang below it, in whatever order they come.
    """

    regex = r"(?!.*/(?:history|purge|similar)$).+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("incident", _IncidentConvertor())


@router.get("/datasets", summary="List datasets", response_model=DatasetsAnswer, responses=errors(401, 403))
async def list_datasets(knowledge: Knowledge, _: Viewer) -> Response:
    """Every dataset, newest first, also of integrations that were deleted."""
    return answer(datasets=await knowledge.datasets())


@router.get(
    "/datasets/{integration_id}",
    summary="Get a dataset",
    response_model=DatasetAnswer,
    responses=errors(401, 403, 404, 422, m404="Dataset not found"),
)
async def get_dataset(integration_id: DatasetId, knowledge: Knowledge, _: Viewer) -> Response:
    """One dataset: the version that readers see, how much is in it, and the verdict of the last run.

    Before the first sync it is empty, and `message` says what to do.
    """
    dataset = await knowledge.dataset(integration_id)
    if dataset["head"] is None and not dataset["integration_deleted"]:
        return answer(message=f"Nothing is published yet: POST /integrations/sync/{integration_id}", dataset=dataset)
    return answer(dataset=dataset)


@router.get(
    "/datasets/{integration_id}/versions",
    summary="List versions",
    response_model=VersionsAnswer,
    responses=errors(401, 403, 404, 422, m404="Dataset not found"),
)
async def list_versions(
    integration_id: DatasetId, knowledge: Knowledge, _: Viewer, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Response:
    """Versions, newest first, with what each changed. Abandoned ones are left out, so numbers may have gaps."""
    page = await knowledge.versions(integration_id, below=version_of(cursor), limit=limit)
    return answer(versions=page.items, next_cursor=cursor_before(page.next_key))


@router.get(
    "/datasets/{integration_id}/versions/{n}",
    summary="Get a version",
    response_model=VersionAnswer,
    responses=errors(401, 403, 404, 422, m404="There is no version 7"),
)
async def get_version(integration_id: DatasetId, n: VersionNumber, knowledge: Knowledge, _: Viewer) -> Response:
    """One version. While a sync is building it, `state` says so; an abandoned one is not found."""
    return answer(version=await knowledge.version(integration_id, n))


@router.get(
    "/datasets/{integration_id}/versions/{n}/incidents",
    summary="List the incidents of a version",
    response_model=IncidentsAnswer,
    responses=errors(401, 403, 404, 422, m404="There is no version 7"),
)
async def list_incidents(
    integration_id: DatasetId,
    n: VersionNumber,
    knowledge: Knowledge,
    _: Viewer,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    include: Include = None,
) -> Response:
    """Incidents by number, ascending: what a published version says, it says for ever. A page of very large ones ends
    early: `next_cursor` tells whether there are more.

    Of the version a running sync is building, this shows what is committed so far.
    """
    page = await knowledge.incidents(
        integration_id, n, after=key_of(cursor), limit=limit, tombstones="tombstones" in (include or ())
    )
    return answer(version=n, state=page.state, incidents=page.incidents, next_cursor=cursor_after(page.next_key))


@router.get(
    "/datasets/{integration_id}/versions/{n}/diff",
    summary="Compare two versions",
    response_model=DiffAnswer,
    responses=errors(401, 403, 404, 422, 429, m404="There is no version 7"),
)
async def diff(
    integration_id: DatasetId,
    n: VersionNumber,
    knowledge: Knowledge,
    _: Comparer,
    base: Annotated[
        int | None,
        Query(
            ge=0,
            le=NEWEST_VERSION,
            description="Version to compare with; by default the one it was built upon. "
            "0 is the emptiness before the first. It may be newer than `n`.",
        ),
    ] = None,
    change: Annotated[list[Kind] | None, Query(description="Only these kinds; may be given several times.")] = None,
    field: Annotated[
        list[Annotated[str, StringConstraints(max_length=255)]] | None,
        Query(
            max_length=20,
            description="Only changed incidents in which one of these fields differs: number, title, "
            "text, notes, url, attributes (any), attributes.state …; may be given several times.",
        ),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Incidents that read differently in version `n` and in `base`, by number, each field before and after.

    A source that only moved an incident's time stamp has not changed it. Texts of 80 characters and more also come
    as word-level `segments`; where hundreds of words differ, and late in a page that has very much to compare, those
    are one deleted and one inserted block. A page of very large incidents ends early: `next_cursor` tells whether
    there are more.
    """
    question = DiffQuestion(
        dataset_id=integration_id,
        version=n,
        base=base,
        kinds=change or KINDS,
        fields=field or (),
        after=key_of(cursor) or BEGINNING,
        limit=limit,
    )
    found = await knowledge.diff(question)
    return answer(
        base=found.base,
        version=found.version,
        counts=found.counts,
        matching=found.matching,
        changes=found.changes,
        next_cursor=cursor_after(found.next_key),
    )


@router.get(
    "/datasets/{integration_id}/versions/{n}/export",
    summary="Export a version",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The whole version as a file.",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}, "example": EXPORT_LINE},
                "text/csv": {"schema": {"type": "string"}, "example": EXPORT_CSV},
            },
        },
        **errors(
            401,
            403,
            404,
            409,
            422,
            429,
            m404="There is no version 7",
            m409="Version 4 is being built: export it when it is published",
        ),
    },
)
async def export(
    integration_id: DatasetId,
    n: VersionNumber,
    knowledge: Knowledge,
    viewer: Exporter,
    format_: Annotated[
        Format, Query(alias="format", description="`ndjson`: one INCIDENT in JSON on each line; `csv`: a table.")
    ] = "ndjson",
    after: Annotated[
        UUID | None,
        Query(
            description="`id` of the last whole line of an export that broke off: goes on behind it, without the "
            "csv header, so that the pieces can be joined, unless an incident was purged between them (csv)."
        ),
    ] = None,
) -> StreamingResponse:
    """Streams every incident of a version by number, of any size. Each export is written into the audit.

    In csv each attribute that occurs among the version's first incidents has a column, `other_attributes` and `notes`
    are JSON. An apostrophe is put before a cell that a spreadsheet would take for a formula, also where one stood there
    already: whoever takes one away has the text again.
    """
    opened = await knowledge.export(integration_id, n, format_=format_, after=after, principal=viewer)
    disposition = f'attachment; filename="{opened.filename}"'
    return StreamingResponse(opened.chunks, media_type=opened.media_type, headers={"Content-Disposition": disposition})


@router.get(
    "/incidents/{number:incident}",
    summary="Get an incident",
    response_model=IncidentAnswer,
    responses=errors(401, 403, 404, 409, 422, m404="Incident not found", m409=SEVERAL),
)
async def get_incident(
    number: Number, knowledge: Knowledge, _: Viewer, integration: Integration = None, version: AsOf = None
) -> Response:
    """One incident as the head has it, or as an older version did: then the answer is the same for ever.

    An incident that is gone at the source is still answered, with `change` "deleted" and its `reason`.
    """
    incident, state = await knowledge.incident(number, dataset_id=integration, version=version)
    return answer(state=state, incident=incident)


@router.get(
    "/incidents/{number:path}/history",
    summary="Get an incident's history",
    response_model=HistoryAnswer,
    responses=errors(401, 403, 404, 409, 422, m404="Incident not found", m409=SEVERAL),
)
async def get_history(
    number: Number,
    knowledge: Knowledge,
    _: Viewer,
    integration: Integration = None,
    version: AsOf = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Every change of an incident's content, newest first: in which version, when, and which fields.

    Runs that found no more than a new time stamp are not changes and are left out. `kind` tells a change at the source
    from a rollback and from a new mapping. Where old versions were pruned, an entry's fields are compared with the
    newest one before it that is kept. A page of a very large incident ends early: `next_cursor` tells whether there are
    more.
    """
    one, page = await knowledge.history(
        number, dataset_id=integration, version=version, before=change_of(cursor), limit=limit
    )
    return answer(
        id=str(one.document_id),
        version=one.version,
        history=page.items,
        next_cursor=cursor_before_change(page.next_key),
    )


@router.post(
    "/incidents/{number:path}/purge",
    summary="Remove an incident for good",
    response_model=PurgeAnswer,
    responses=errors(
        401,
        403,
        404,
        409,
        413,
        415,
        422,
        m404="Incident not found",
        m409="A sync is going on (run 0b9f4d5e-3c5a-4f43-9d0c-0a6e6a3f6a11): purge when it has ended, or cancel it",
    ),
)
async def purge_incident(
    number: Number, body: PurgeRequest, knowledge: Knowledge, purger: Purger, integration: Integration = None
) -> Response:
    """Removes one incident from every version, with the raw records it was made from. This cannot be undone.

    A record that no version ever had, for it could not be mapped or its run failed, is named by its number or by the
    source's own id, as `GET /integrations/runs/{run_id}/rejected` lists them.

    It is for personal data that must go. A line in the audit stays, with the reason and without the content. Files of
    raw records (RAW_DUMP_PATH) are deleted by the workers that wrote them, within a minute. Remove the incident at the
    source as well: the next sync that reads it would bring it back, which a full one does, and an incremental one if it
    has changed lately.
    """
    purged = await knowledge.purge(number, dataset_id=integration, reason=body.reason, principal=purger)
    counts = {
        "id": str(purged.document_id),
        "integration_id": str(purged.dataset_id),
        "revisions": purged.revisions,
        "contents": purged.contents,
        "raw_records": purged.raw_records,
        "rejected_records": purged.rejected_records,
    }
    return answer(message="The incident is removed from every version", purged=counts)
