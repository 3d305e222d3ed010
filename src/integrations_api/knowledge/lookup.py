"""From the number or id in a URL to the one incident that is meant, or to the reason why it is not clear."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.errors import Conflict, NotFound
from integrations_api.knowledge.repository import find_dataset, find_version, oldest_kept

_MOST_LISTED = 20
"""So many datasets or ids stand in an error's sentence at most."""


class Meant(Struct, frozen=True):
    """The incident a request means, and the version in which it is to be read."""

    dataset_id: UUID
    document_id: UUID
    version: int


async def get_dataset(session: AsyncSession, dataset_id: UUID) -> Row[Any]:
    """One dataset. Raises `NotFound`."""
    found = await find_dataset(session, dataset_id)
    if found is None:
        raise NotFound("Dataset not found")
    return found


async def get_version(session: AsyncSession, dataset_id: UUID, number: int) -> Row[Any]:
    """A version that can be read: published and kept, held or building. Raises `NotFound`."""
    found = await find_version(session, dataset_id, number)
    if found is None:
        await get_dataset(session, dataset_id)
        raise NotFound(f"There is no version {number}")
    if found.state == "abandoned":
        raise NotFound(f"Version {number} was abandoned before it was published: there is nothing to read in it")
    if found.state == "pruned":
        raise await no_longer_kept(session, dataset_id, number)
    return found


async def built_upon(session: AsyncSession, dataset_id: UUID, version: Row[Any]) -> int:
    """Number of the version that another was built upon, to compare it with; 0 for the first. Raises `NotFound`."""
    parent = version.parent or 0
    found = await find_version(session, dataset_id, parent) if parent else None
    if found is not None and found.state == "pruned":
        raise NotFound(
            f"Version {parent}, which version {version.number} was built upon, is not kept any more: compare it with "
            "another one by ?base=, which GET …/versions lists (0 is the emptiness before the first)"
        )
    return parent


async def no_longer_kept(session: AsyncSession, dataset_id: UUID, number: int) -> NotFound:
    """The error for a version that was pruned; it names the oldest one that can still be read."""
    oldest = await oldest_kept(session, dataset_id)
    return NotFound(f"Version {number} is not kept any more; the oldest that can be read is version {oldest}")


class InSeveralDatasets(Conflict):
    """A number that more than one dataset knows; the message lists them."""

    def __init__(self, number: str, found: Sequence[tuple[UUID, str]]) -> None:
        listed = _listed([f"{dataset_id} ({service})" for dataset_id, service in found])
        super().__init__(f"{number} is in several datasets: {listed}. Name one with ?integration=")
        self.datasets = tuple(dataset_id for dataset_id, _ in found)


class SharedNumber(Conflict):
    """A number that several incidents of one dataset bear; the message lists their ids."""

    def __init__(self, number: str, ids: Sequence[UUID]) -> None:
        listed = _listed([str(document_id) for document_id in ids])
        super().__init__(f"{number} is the number of several incidents. Ask for one of them by its id: {listed}")
        self.ids = tuple(ids)


def _listed(words: Sequence[str]) -> str:
    more = len(words) - _MOST_LISTED
    return ", ".join(words[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def as_id(number: str) -> UUID | None:
    """The document id, if that is what was given; ids are read in the form in which they are shown."""
    if len(number) != 36:
        return None
    try:
        return UUID(number)
    except ValueError:
        return None


_AT = """
    SELECT r.document_id AS id, r.dataset_id, s.service_name, s.version, r.change = 'deleted' AS is_tombstone
    FROM (
        SELECT id, service_name, coalesce(CAST(:version AS integer), head) AS version FROM datasets
        WHERE id = coalesce(CAST(:dataset AS uuid), id)
    ) s
    JOIN revisions r ON r.dataset_id = s.id AND {condition}
      AND r.valid_from <= s.version AND r.valid_to > s.version
    ORDER BY r.dataset_id, r.document_id
"""
AT_NUMBER = _AT.format(condition="r.number = :number")
AT_ID = _AT.format(condition="r.document_id = :id")


_AT_NUMBER, _AT_ID = text(AT_NUMBER), text(AT_ID)


async def find_at(
    session: AsyncSession, number: str, *, dataset_id: UUID | None, version: int | None
) -> Sequence[Row[Any]]:
    """Every incident and tombstone of that number or id, in `version` or else in the head of each dataset."""
    facts = {"version": version, "dataset": dataset_id}
    document_id = as_id(number)
    if document_id is not None:
        found = (await session.execute(_AT_ID, {**facts, "id": document_id})).all()
        if found:
            return found
    return (await session.execute(_AT_NUMBER, {**facts, "number": number})).all()


_EVER = """
    SELECT r.document_id AS id, r.dataset_id, s.service_name, d.external_id, false AS is_tombstone,
           coalesce(bool_or(r.valid_from <= s.head), false) AS was_published
    FROM datasets s JOIN revisions r ON r.dataset_id = s.id AND {condition} JOIN documents d ON d.id = r.document_id
    WHERE s.id = coalesce(CAST(:dataset AS uuid), s.id)
    GROUP BY r.document_id, r.dataset_id, s.service_name, d.external_id
    ORDER BY r.dataset_id, r.document_id
"""
_EVER_NUMBER = text(_EVER.format(condition="r.number = :number"))
_EVER_ID = text(_EVER.format(condition="r.document_id = :id"))


async def find_ever(session: AsyncSession, number: str, *, dataset_id: UUID | None) -> Sequence[Row[Any]]:
    """Every document that bears or bore that number or id in any version, published or not."""
    document_id = as_id(number)
    if document_id is not None:
        found = (await session.execute(_EVER_ID, {"dataset": dataset_id, "id": document_id})).all()
        if found:
            return found
    return (await session.execute(_EVER_NUMBER, {"dataset": dataset_id, "number": number})).all()


_STAGED = """
    SELECT DISTINCT coalesce(d.id, md5(s.id::text || '/' || w.external_id)::uuid) AS id, s.id AS dataset_id,
           s.service_name, w.external_id, false AS is_tombstone
    FROM datasets s
    JOIN LATERAL (
        SELECT external_id, number FROM raw_records WHERE dataset_id = s.id
        UNION ALL SELECT external_id, number FROM rejected_records WHERE dataset_id = s.id
    ) w ON w.external_id = :number OR w.number = :number
    LEFT JOIN documents d ON d.dataset_id = s.id AND d.external_id = w.external_id
    WHERE s.id = coalesce(CAST(:dataset AS uuid), s.id)
    ORDER BY s.id, w.external_id
"""


async def find_staged(session: AsyncSession, number: str, *, dataset_id: UUID | None) -> Sequence[Row[Any]]:
    """What was read of that number or source's id, whether or not it could be mapped. Reads all records."""
    return (await session.execute(text(_STAGED), {"dataset": dataset_id, "number": number})).all()


def the_one(number: str, found: Sequence[Any]) -> Any:
    """The only one of what was found; one that lives goes before tombstones of the same number.

    Raises `NotFound`, `InSeveralDatasets` or `SharedNumber`.
    """
    candidates = [row for row in found if not row.is_tombstone] or list(found)
    if not candidates:
        raise NotFound("Incident not found")
    datasets = {row.dataset_id: row.service_name for row in candidates}
    if len(datasets) > 1:
        raise InSeveralDatasets(number, list(datasets.items()))
    if len(candidates) > 1:
        raise SharedNumber(number, [row.id for row in candidates])
    return candidates[0]


class Find(Protocol):
    """`find_at`, or what finds the same rows another way."""

    def __call__(
        self, session: AsyncSession, number: str, *, dataset_id: UUID | None, version: int | None
    ) -> Awaitable[Sequence[Any]]: ...


async def meant(
    session: AsyncSession, number: str, *, dataset_id: UUID | None, version: int | None, find: Find = find_at
) -> Meant:
    """The incident of that number or id, in a version or else in its dataset's head.

    Raises `NotFound`, `InSeveralDatasets` (also when a version is asked for without a dataset, and several know
    the number) or `SharedNumber`.
    """
    if dataset_id is not None:
        await get_dataset(session, dataset_id)
    if version is not None:
        dataset_id = dataset_id or await _only_dataset(session, number)
        await get_version(session, dataset_id, version)
    row = the_one(number, await find(session, number, dataset_id=dataset_id, version=version))
    return Meant(row.dataset_id, row.id, row.version)


async def _only_dataset(session: AsyncSession, number: str) -> UUID:
    """A first load that goes on, or has failed, takes no number away from the dataset that has published it."""
    found = await find_ever(session, number, dataset_id=None)
    known = [row for row in found if row.was_published] or found
    datasets = {row.dataset_id: row.service_name for row in known}
    if len(datasets) > 1:
        raise InSeveralDatasets(number, list(datasets.items()))
    if not datasets:
        raise NotFound("Incident not found")
    (only,) = datasets
    assert isinstance(only, UUID)
    return only
