"""What is searched: datasets, each in one version, and which of their incidents."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

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

    `average` is in words of the search vector, never 0.
    """

    datasets: tuple[UUID, ...]
    versions: tuple[int, ...]
    documents: int
    average: float

    @property
    def facts(self) -> dict[str, Any]:
        """The parameters of a statement that joins the scope."""
        return {"datasets": list(self.datasets), "versions": list(self.versions)}


SCOPED = "unnest(CAST(:datasets AS uuid[]), CAST(:versions AS integer[])) AS s(dataset_id, version)"
"""SQL of the scope, for a FROM."""

_HEADS = text("SELECT id, head FROM datasets WHERE head IS NOT NULL ORDER BY id")

# Of a version that is being built nothing is counted yet: the published one below it speaks for it.
_SIZE = text(f"""
    SELECT coalesce(sum(v.documents), 0) AS documents, coalesce(sum(v.words), 0) AS words
    FROM {SCOPED}
    JOIN LATERAL (
        SELECT p.documents, p.words FROM versions p
        WHERE p.dataset_id = s.dataset_id AND p.number <= s.version AND p.state = 'published'
        ORDER BY p.number DESC LIMIT 1
    ) v ON true
""")  # noqa: S608 - put together from constants


async def find_scope(
    session: AsyncSession, *, dataset_id: UUID | None, version: int | None, pinned: Sequence[tuple[UUID, int]] = ()
) -> Scope:
    """The heads of all datasets, or one dataset, in `version` if one is asked for; `pinned` is a page's own scope.

    Raises `NotFound`, and `InvalidInput` for a version of no single dataset.
    """
    chosen = list(pinned)
    for pinned_dataset, pinned_version in pinned:
        await get_version(session, pinned_dataset, pinned_version)
    if not chosen and dataset_id is None:
        chosen = [(UUID(str(row.id)), row.head) for row in await session.execute(_HEADS)]
        if version is not None:
            dataset_id = _only(chosen)
    if not pinned and dataset_id is not None:
        row = await get_dataset(session, dataset_id)
        number = row.head if version is None else (await get_version(session, dataset_id, version)).number
        chosen = [] if number is None else [(dataset_id, number)]
    return await _sized(session, chosen)


def _only(chosen: Sequence[tuple[UUID, int]]) -> UUID:
    """The dataset whose version is meant, where there is one alone."""
    if len(chosen) != 1:
        raise InvalidInput.of([FieldProblem("version", "needs ?integration=, for there is not just one dataset")])
    return chosen[0][0]


async def _sized(session: AsyncSession, chosen: Sequence[tuple[UUID, int]]) -> Scope:
    datasets, versions = tuple(one[0] for one in chosen), tuple(one[1] for one in chosen)
    size = (await session.execute(_SIZE, {"datasets": list(datasets), "versions": list(versions)})).one()
    documents = int(size.documents)
    return Scope(datasets, versions, documents, max(1.0, float(size.words) / max(1, documents)))
