"""`/knowledge/search` and what is similar: the read side over published versions."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Path, Query, Response
from pydantic import AfterValidator, StringConstraints

from integrations_api.access.dependencies import require
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate
from integrations_api.api.answers import answer
from integrations_api.api.components import component
from integrations_api.api.openapi import errors
from integrations_api.api.page_parameters import Cursor, Limit
from integrations_api.api.routes import Router
from integrations_api.api.times import WrittenTime
from integrations_api.knowledge.cursors import NEWEST_VERSION
from integrations_api.knowledge.examples import SEVERAL
from integrations_api.knowledge.terms import composed
from integrations_api.search.candidates import MOST_HITS
from integrations_api.search.cursors import cursor_of, name_of, read_cursor
from integrations_api.search.schemas import HitsAnswer, SimilarRequest
from integrations_api.search.scope import Filters
from integrations_api.search.service import Hits, Question, SearchService

router = Router(prefix="/knowledge", tags=["knowledge"])

Search = Annotated[SearchService, Depends(component(SearchService))]
Viewer = Annotated[Principal, Depends(require(Permission.KNOWLEDGE_VIEW, Rate.SEARCH))]
Integration = Annotated[UUID | None, Query(description="Only in the dataset of this integration.")]
AsOf = Annotated[
    int | None,
    Query(ge=1, le=NEWEST_VERSION, description="The version that is to answer, of one dataset; by default the head."),
]
Word = Annotated[
    Annotated[str, StringConstraints(max_length=255, strip_whitespace=True), AfterValidator(composed)] | None,
    Query(description="A label or its code, in any case."),
]
Moment = Annotated[
    WrittenTime[datetime] | None, Query(description="A time such as 2026-03-01T10:30:00Z; without a zone it is UTC.")
]


@router.get(
    "/search",
    summary="Search incidents",
    response_model=HitsAnswer,
    responses=errors(401, 403, 404, 422, 429, m404="Dataset not found"),
)
async def search(
    search: Search,
    _: Viewer,
    q: Annotated[
        str,
        Query(
            min_length=1,
            max_length=2000,
            description='Words, "a phrase", -without, this or that. An exact number comes first; the last word may be '
            "the beginning of one. Of more than three words some are enough.",
        ),
    ],
    integration: Integration = None,
    state: Word = None,
    priority: Word = None,
    category: Word = None,
    group: Word = None,
    opened_after: Moment = None,
    opened_before: Moment = None,
    version: AsOf = None,
    include: Annotated[
        list[Literal["tombstones"]] | None, Query(description="`tombstones`: also what is gone at the source.")
    ] = None,
    limit: Limit = 10,
    cursor: Cursor = None,
) -> Response:
    """Incidents by relevance, best first, 100 at most over all pages; a word in the title weighs more.

    An older `version` answers as it did when it was the head, with the weights that words had then.
    """
    filters = Filters(
        state=state,
        priority=priority,
        category=category,
        group=group,
        opened_after=_utc(opened_after),
        opened_before=_utc(opened_before),
        tombstones="tombstones" in (include or ()),
    )
    name = name_of(q, filters)
    question = Question(
        query=q,
        dataset_id=integration,
        version=version,
        filters=filters,
        limit=min(limit, MOST_HITS),
        so_far=read_cursor(cursor, name=name),
    )
    found = await search.search(question)
    more = cursor_of(found.shown, found.ranking, found.scope, name=name) if found.has_more else None
    return _answer(found, next_cursor=more)


@router.get(
    "/incidents/{number:path}/similar",
    summary="Find similar incidents",
    response_model=HitsAnswer,
    responses=errors(401, 403, 404, 409, 422, 429, m404="Incident not found", m409=SEVERAL),
)
async def similar_incidents(
    number: Annotated[str, Path(description="An incident's number or its document id.")],
    search: Search,
    _: Viewer,
    integration: Integration = None,
    version: AsOf = None,
    limit: Limit = 10,
) -> Response:
    """The incidents most like this one, in all datasets unless one is named; among equals resolved ones first."""
    return _answer(
        await search.similar_to(number, dataset_id=integration, version=version, limit=min(limit, MOST_HITS))
    )


@router.post(
    "/similar",
    summary="Find incidents like a text",
    response_model=HitsAnswer,
    responses=errors(401, 403, 404, 413, 415, 422, 429, m404="Dataset not found"),
)
async def similar_text(
    body: SimilarRequest, search: Search, _: Viewer, integration: Integration = None, version: AsOf = None
) -> Response:
    """The incidents most like the text of a new one: what may have been solved before.

    `integration` and `version` may stand in the URL, as on other routes, or in the body; the URL's go first.
    """
    return _answer(
        await search.similar_text(
            body.text,
            dataset_id=integration or body.integration,
            version=version or body.version,
            limit=min(body.limit, MOST_HITS),
        )
    )


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)


def _answer(found: Hits, *, next_cursor: str | None = None) -> Response:
    versions = found.scope.versions
    return answer(
        ranking=found.ranking,
        matching=found.matching,
        version=versions[0] if len(versions) == 1 else None,
        message=found.message,
        hits=found.hits,
        next_cursor=next_cursor,
    )
