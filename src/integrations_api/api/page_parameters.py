"""What a route of pages takes. Apart from `pagination`, which services import: so a worker goes without FastAPI."""

from typing import Annotated

from fastapi import Query

from integrations_api.api.pagination import LONGEST_CURSOR, MAX_LIMIT

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items in one answer.")]
"""`limit: Limit = DEFAULT_LIMIT`"""

Cursor = Annotated[
    str | None,
    Query(max_length=LONGEST_CURSOR, description="`next_cursor` of the page before; absent for the first page."),
]
"""`cursor: Cursor = None`"""
