"""What is searched: datasets, each in one version, and which of their incidents."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.direct import Row
from integrations_api.db.reading import rows
from integrations_api.errors import FieldProblem, InvalidInput, NotFound
from integrations_api.knowledge.lookup import get_dataset, get_version


class Filters(Struct, frozen=True):
    """Which incidents may be hits; a label and its code are both understood, in any case."""

    state: str | None = None
    priority: str | None = None
    category: str | None = None
    group: str | None = None
    opened_after: datetime | None = None
    opened_before: datetime | None = None
    tombstones: bool = False


class Scope(Struct, frozen=True):
    """Datasets and the version in which each is read; how many documents those have, and how long they are.

    `average` is in words of the search vector, never 0. `living` is the share of all stored texts that live in the
    scope, as far as PostgreSQL has counted them; 0 where it has not. `is_counted` says that what its words stand in is
    counted: of a version that is held or being built it is not.
    """

    datasets: tuple[UUID, ...]
    versions: tuple[int, ...]
    documents: int
    average: float
    living: float = 0.0
    is_counted: bool = True

    @property
    def facts(self) -> dict[str, Any]:
        """The parameters of a statement that joins the scope."""
        return {"datasets": list(self.datasets), "versions": list(self.versions)}


SCOPED = "unnest(CAST(:datasets AS uuid[]), CAST(:versions AS integer[])) AS s(dataset_id, version)"
"""SQL of the scope, for a FROM."""

Chosen = Sequence[tuple[UUID, int]]
"""Datasets that were asked for, each with its version."""

# Of a version that is being built nothing is counted yet: the published one below it speaks for it.
_SIZED = """
    scope AS MATERIALIZED (
        SELECT s.dataset_id, s.version, coalesce(v.documents, 0) AS documents, coalesce(v.words, 0) AS words,
               v.number IS NOT DISTINCT FROM s.version AS is_counted
        FROM {source}
        LEFT JOIN LATERAL (
            SELECT p.number, p.documents, p.words FROM versions p
            WHERE p.dataset_id = s.dataset_id AND p.number <= s.version AND p.state = 'published'
            ORDER BY p.number DESC LIMIT 1
        ) v ON true
        ORDER BY s.dataset_id
    )
"""
_OF_HEADS = _SIZED.format(
    source="(SELECT id AS dataset_id, head AS version FROM datasets WHERE head IS NOT NULL OFFSET 0) s"
)
_OF_CHOSEN = _SIZED.format(source=SCOPED)

SCOPE_COLUMNS = """
    ARRAY(SELECT dataset_id FROM scope) AS datasets, ARRAY(SELECT version FROM scope) AS versions,
    (SELECT coalesce(sum(documents), 0) FROM scope) AS documents, (SELECT coalesce(sum(words), 0) FROM scope) AS words,
    (SELECT coalesce(bool_and(is_counted), true) FROM scope) AS is_counted,
    (SELECT reltuples FROM pg_class WHERE oid = CAST('contents' AS regclass)) AS stored
"""
"""SQL of what `scope_of` reads."""


def scope_sql(chosen: Chosen | None) -> str:
    """SQL of a CTE `scope` (dataset_id, version, …) for a statement that also asks other things of it."""
    return _OF_HEADS if chosen is None else _OF_CHOSEN


def facts_of(chosen: Chosen | None) -> dict[str, Any]:
    """The parameters of `scope_sql`."""
    return {} if chosen is None else {"datasets": [one[0] for one in chosen], "versions": [one[1] for one in chosen]}


def scope_of(row: Mapping[str, Any]) -> Scope:
    """The scope, from a row that has its columns."""
    stored, is_counted = row["stored"], row["is_counted"]
    documents = max(int(row["documents"]), 0 if is_counted else 1)
    return Scope(
        tuple(row["datasets"]),
        tuple(row["versions"]),
        documents,
        max(1.0, int(row["words"]) / max(1, documents)),
        min(1.0, documents / stored) if stored > 0 else 0.0,
        is_counted,
    )


async def find_chosen(
    session: AsyncSession, *, dataset_id: UUID | None, version: int | None, pinned: Chosen = (), goes_on: bool = False
) -> Chosen | None:
    """One dataset, in `version` if one is asked for, or what a page is `pinned` to; None for the heads of all.

    A page that `goes_on` and is pinned to nothing is of more datasets than a cursor names. Raises `NotFound`, and
    `InvalidInput` for a version of no single dataset, or a page of others than are asked for.
    """
    is_of_all = goes_on and not pinned and dataset_id is not None
    if is_of_all or any(dataset_id not in (None, one) or version not in (None, number) for one, number in pinned):
        problem = "is of other datasets or of another version than are asked for: leave it out to begin anew"
        raise InvalidInput.of([FieldProblem("cursor", problem)])
    if pinned:
        await _find_pinned(session, pinned, is_asked_for=version is not None)
        return pinned
    if dataset_id is None:
        if version is None:
            return None
        dataset_id = _only(await rows(session, "SELECT id FROM datasets WHERE head IS NOT NULL", {}))
    row = await get_dataset(session, dataset_id)
    number = row.head if version is None else (await get_version(session, dataset_id, version)).number
    return [] if number is None else [(dataset_id, number)]


async def _find_pinned(session: AsyncSession, pinned: Chosen, *, is_asked_for: bool) -> None:
    """Looks whether what a page is read in is still there; whoever asked for that version himself is told of it."""
    try:
        for dataset_id, version in pinned:
            await get_version(session, dataset_id, version)
    except NotFound:
        if is_asked_for:
            raise
        problem = "is of a version that cannot be read any more: leave it out to begin anew"
        raise InvalidInput.of([FieldProblem("cursor", problem)]) from None


def _only(datasets: Sequence[Row]) -> UUID:
    """The dataset whose version is meant, where there is one alone."""
    if len(datasets) != 1:
        raise InvalidInput.of([FieldProblem("version", "needs ?integration=, for there is not just one dataset")])
    only: UUID = datasets[0].id
    return only
