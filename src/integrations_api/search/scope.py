"""What is searched: datasets, each in one version, and which of their incidents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.reading import rows
from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.knowledge.lookup import get_dataset, get_version


@dataclass(frozen=True, slots=True)
class Filters:
    """Which incidents may be hits; a label and its code are both understood, in any case."""

    state: str | None = None
    priority: str | None = None
    category: str | None = None
    group: str | None = None
    opened_after: datetime | None = None
    opened_before: datetime | None = None
    tombstones: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Datasets and the version in which each is read; how many documents those have, and how long they are.

    `average` is in words of the search vector, never 0. `living` is the share of all stored texts that live in the
    scope, as far as PostgreSQL has counted them; 0 where it has not.
    """

    datasets: tuple[UUID, ...]
    versions: tuple[int, ...]
    documents: int
    average: float
    living: float = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """The parameters of a statement that joins the scope."""
        return {"datasets": list(self.datasets), "versions": list(self.versions)}


SCOPED = "unnest(CAST(:datasets AS uuid[]), CAST(:versions AS integer[])) AS s(dataset_id, version)"
"""SQL of the scope, for a FROM."""

# Of a version that is being built nothing is counted yet: the published one below it speaks for it.
_SIZED = """
    SELECT s.dataset_id, s.version, coalesce(v.documents, 0) AS documents, coalesce(v.words, 0) AS words,
           (SELECT reltuples FROM pg_class WHERE oid = CAST('contents' AS regclass)) AS stored
    FROM {source}
    LEFT JOIN LATERAL (
        SELECT p.documents, p.words FROM versions p
        WHERE p.dataset_id = s.dataset_id AND p.number <= s.version AND p.state = 'published'
        ORDER BY p.number DESC LIMIT 1
    ) v ON true
    ORDER BY s.dataset_id
"""
_HEADS = _SIZED.format(
    source="(SELECT id AS dataset_id, head AS version FROM datasets WHERE head IS NOT NULL OFFSET 0) s"
)
_CHOSEN = _SIZED.format(source=SCOPED)


async def find_scope(
    session: AsyncSession, *, dataset_id: UUID | None, version: int | None, pinned: Sequence[tuple[UUID, int]] = ()
) -> Scope:
    """The heads of all datasets, or one dataset, in `version` if one is asked for; `pinned` is a page's own scope.

    Raises `NotFound`, and `InvalidInput` for a version of no single dataset.
    """
    for pinned_dataset, pinned_version in pinned:
        await get_version(session, pinned_dataset, pinned_version)
    if pinned:
        return await _sized(session, pinned)
    if dataset_id is None:
        heads = await rows(session, _HEADS, {})
        if version is None:
            return _scope(heads)
        dataset_id = _only([head["dataset_id"] for head in heads])
    row = await get_dataset(session, dataset_id)
    number = row.head if version is None else (await get_version(session, dataset_id, version)).number
    return await _sized(session, [] if number is None else [(dataset_id, number)])


def _only(datasets: Sequence[UUID]) -> UUID:
    """The dataset whose version is meant, where there is one alone."""
    if len(datasets) != 1:
        raise InvalidInput.of([FieldProblem("version", "needs ?integration=, for there is not just one dataset")])
    return datasets[0]


async def _sized(session: AsyncSession, chosen: Sequence[tuple[UUID, int]]) -> Scope:
    facts = {"datasets": [one[0] for one in chosen], "versions": [one[1] for one in chosen]}
    return _scope(await rows(session, _CHOSEN, facts))


def _scope(sized: Sequence[Mapping[str, Any]]) -> Scope:
    documents = sum(row["documents"] for row in sized)
    stored = max((row["stored"] for row in sized), default=0)
    return Scope(
        tuple(row["dataset_id"] for row in sized),
        tuple(row["version"] for row in sized),
        documents,
        max(1.0, sum(row["words"] for row in sized) / max(1, documents)),
        min(1.0, documents / stored) if stored > 0 else 0.0,
    )
