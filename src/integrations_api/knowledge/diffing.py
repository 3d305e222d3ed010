"""The difference between two versions of a dataset, in one statement that follows the difference.

A document that differs has a revision that begins between the two and is not a mere touch: a document's revisions
have no gaps, for nothing ends but by its successor, tombstones included. So the candidates come from
`ix_revisions_changed`, and each is looked up twice by primary key. Nothing reads the documents that stayed. A content's
hash covers the number too, so the same content means that nothing differs.
"""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Row, TextClause, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.knowledge import repository
from integrations_api.knowledge.comparing import ATTRIBUTE, PLAIN_FIELDS
from integrations_api.knowledge.repository import BEGINNING, IncidentKey, bytes_sql

Kind = Literal["added", "changed", "removed"]
KINDS: tuple[Kind, ...] = ("added", "changed", "removed")


class DiffQuestion(Struct, frozen=True):
    """Which two versions, which kinds and fields, and which page.

    `base` None is the version that `version` was built upon, 0 the emptiness before the first. With `fields`, only
    changed incidents in which one of them differs are given.
    """

    dataset_id: UUID
    version: int
    base: int | None = None
    kinds: Sequence[Kind] = KINDS
    fields: Sequence[str] = ()
    after: IncidentKey = BEGINNING
    limit: int = 50


class DiffPage(Struct, frozen=True):
    """Counts of the whole difference, how many pass the filters, and one page of those by number and id.

    So many as `found` says were there for the page, and are fewer rows where they are too large together.
    """

    counts: dict[str, int]
    matching: int
    found: int
    rows: Sequence[Row[Any]]


DIFFERENT = """
    candidates AS (
        SELECT DISTINCT document_id FROM revisions
        WHERE dataset_id = :dataset AND change <> 'touched'
          AND valid_from > least(CAST(:base AS integer), CAST(:version AS integer))
          AND valid_from <= greatest(CAST(:base AS integer), CAST(:version AS integer))
    ), sides AS (
        SELECT k.document_id,
               b.number AS base_number, b.content_id AS base_content, coalesce(b.change <> 'deleted', false) AS was,
               n.number AS new_number, n.content_id AS new_content, coalesce(n.change <> 'deleted', false) AS lives,
               n.reason
        FROM candidates k
        LEFT JOIN LATERAL (
            SELECT number, content_id, change FROM revisions
            WHERE document_id = k.document_id AND valid_from <= :base AND valid_to > :base
            ORDER BY valid_from DESC LIMIT 1
        ) b ON true
        LEFT JOIN LATERAL (
            SELECT number, content_id, change, reason FROM revisions
            WHERE document_id = k.document_id AND valid_from <= :version AND valid_to > :version
            ORDER BY valid_from DESC LIMIT 1
        ) n ON true
    ), different AS MATERIALIZED (
        SELECT *, CASE WHEN lives THEN new_number ELSE base_number END AS number,
               CASE WHEN NOT was THEN 'added' WHEN NOT lives THEN 'removed' ELSE 'changed' END AS kind
        FROM sides
        WHERE (was OR lives) AND (was <> lives OR base_content <> new_content)
    )
"""
"""Common table expressions that end in `different`: every document that reads differently in the two versions."""

_QUESTION = """
    WITH {different}, wanted AS (
        SELECT x.* FROM different x
        {contents}
        WHERE x.kind = ANY(CAST(:kinds AS text[])) {condition}
    ), counts AS (
        SELECT count(*) FILTER (WHERE kind = 'added') AS added, count(*) FILTER (WHERE kind = 'changed') AS changed,
               count(*) FILTER (WHERE kind = 'removed') AS removed, (SELECT count(*) FROM wanted) AS matching
        FROM different
    ), page AS (
        SELECT *, count(*) OVER () AS found FROM (
            SELECT * FROM wanted
            WHERE (number, document_id) > (CAST(:number AS text) COLLATE "C", CAST(:id AS uuid))
            ORDER BY number, document_id LIMIT :limit
        ) AS listed
    )
    SELECT * FROM (
        SELECT k.added, k.changed, k.removed, k.matching, coalesce(p.found, 0) AS found,
               p.document_id AS id, p.number, p.kind, p.reason,
               p.base_number, p.new_number,
               b.title AS base_title, b.text AS base_text, b.notes AS base_notes, b.attributes AS base_attributes,
               b.url AS base_url,
               n.title AS new_title, n.text AS new_text, n.notes AS new_notes, n.attributes AS new_attributes,
               n.url AS new_url,
               sum({bytes}) OVER (ORDER BY p.number, p.document_id) - {bytes} AS bytes_before
        FROM counts k
        LEFT JOIN page p ON true
        LEFT JOIN contents b ON b.id = p.base_content
        LEFT JOIN contents n ON n.id = p.new_content
    ) shown
    WHERE bytes_before <= :most_bytes
    ORDER BY number, id
"""
_BYTES = f"(coalesce({bytes_sql('b')}, 0) + coalesce({bytes_sql('n')}, 0))"
_FIELD_CONTENTS = "LEFT JOIN contents b ON b.id = x.base_content LEFT JOIN contents n ON n.id = x.new_content"


def field_problem(field: str) -> str | None:
    """What is wrong with the name of a field to filter by; None when there is such a field."""
    is_attribute = field.startswith(ATTRIBUTE) and len(field) > len(ATTRIBUTE)
    if is_attribute or field == "attributes" or field in PLAIN_FIELDS:
        return None
    return f"must be one of {', '.join(PLAIN_FIELDS)}, attributes, or attributes and a dot and a name"


def _field_condition(index: int, field: str) -> tuple[str, dict[str, str]]:
    """SQL that is true where the field differs, with the value it needs. No part of `field` enters the SQL."""
    if field.startswith(ATTRIBUTE):
        key = f"field_{index}"
        return (
            f"coalesce(CAST(b.attributes -> CAST(:{key} AS text) AS text), 'null')"
            f" <> coalesce(CAST(n.attributes -> CAST(:{key} AS text) AS text), 'null')",
            {key: field.removeprefix(ATTRIBUTE)},
        )
    if field == "number":
        return "x.base_number <> x.new_number", {}
    if field == "attributes":  # As texts, for to jsonb 1 is 1.0.
        return "CAST(b.attributes AS text) <> CAST(n.attributes AS text)", {}
    known = next(name for name in PLAIN_FIELDS if name == field)
    return f"b.{known} IS DISTINCT FROM n.{known}", {}


def _statement(fields: Sequence[str]) -> tuple[TextClause, dict[str, str]]:
    contents, condition = "", ""
    values: dict[str, str] = {}
    if fields:
        parts = []
        for index, field in enumerate(fields):
            part, needed = _field_condition(index, field)
            parts.append(part)
            values |= needed
        contents, condition = _FIELD_CONTENTS, f"AND x.kind = 'changed' AND ({' OR '.join(parts)})"
    statement = text(_QUESTION.format(different=DIFFERENT, contents=contents, condition=condition, bytes=_BYTES))
    return statement, values


async def difference(session: AsyncSession, question: DiffQuestion) -> DiffPage:
    """Answers a question that names both versions, whichever of them is the newer. Raises `InvalidInput` for a field.

    The rest of the caller's transaction runs without parallel workers.
    """
    problems = [FieldProblem("field", problem) for field in question.fields if (problem := field_problem(field))]
    if problems:
        raise InvalidInput.of(problems)
    statement, values = _statement(question.fields)
    # A few hundred look-ups: starting a parallel worker takes longer than making them.
    await session.execute(text("SET LOCAL max_parallel_workers_per_gather = 0"))
    found = await session.execute(
        statement.columns(base_notes=JSONB, base_attributes=JSONB, new_notes=JSONB, new_attributes=JSONB),
        {**values, **_facts(question)},
    )
    rows = found.all()
    first = rows[0]
    counts = {"added": first.added, "changed": first.changed, "removed": first.removed}
    return DiffPage(counts, first.matching, first.found, [row for row in rows if row.id is not None])


def _facts(question: DiffQuestion) -> dict[str, Any]:
    return {
        "dataset": question.dataset_id,
        "base": question.base,
        "version": question.version,
        "kinds": list(question.kinds),
        "number": question.after.number,
        "id": question.after.id,
        "limit": question.limit,
        "most_bytes": repository.MOST_BYTES,
    }


def side(row: Row[Any], prefix: Literal["base", "new"]) -> dict[str, Any]:
    """One side of a changed row, as `comparing.field_changes` reads it."""
    fact = row._mapping
    return {name: fact[f"{prefix}_{name}"] for name in (*PLAIN_FIELDS, "attributes")}
