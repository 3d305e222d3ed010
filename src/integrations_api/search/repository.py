"""The questions that searching asks of the database. Every function works in its caller's `reading`."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.direct import Row
from integrations_api.db.reading import rows
from integrations_api.knowledge.lookup import AT_ID, AT_NUMBER, as_id
from integrations_api.knowledge.models import FOREVER
from integrations_api.knowledge.terms import quoted, vector_sql
from integrations_api.search import bm25
from integrations_api.search.bm25 import Term
from integrations_api.search.candidates import ONE, Candidates, conditions_of, scored
from integrations_api.search.ranked import Ranked
from integrations_api.search.scope import (
    SCOPE_COLUMNS,
    SCOPED,
    Chosen,
    Filters,
    Scope,
    facts_of,
    scope_of,
    scope_sql,
)
from integrations_api.search.words import lexemes

MOST_COMPLETIONS = 6
COMPLETIONS_READ = 20_000
"""Counts of terms that begin as the last word does, of all versions, that are read one after another: fast where there
are few versions."""
COMPLETIONS_WALKED = 2_000
"""Terms that are visited beyond those, each for its newest count alone: after a year of syncs a few hundred terms may
have more counts than can be read."""
MARKS = ("\ue000", "\ue001")
"""Stand around a found word until the snippet has been escaped; taken out of the texts themselves."""
BREAK = "\u200b"
"""Put into compound names and tags, which the highlighter would take for one word or leave out; taken out again."""


def _counts_of(terms: str, *, scope: str) -> str:
    """SQL that counts in how many documents of the scope each of the terms (SQL of sets) stands."""
    return f"""
        SELECT q.term, coalesce(sum(t.documents), 0) AS documents
        FROM {terms} AS q(term)
        CROSS JOIN {scope}
        LEFT JOIN LATERAL (
            SELECT c.documents FROM term_counts c
            WHERE c.dataset_id = s.dataset_id AND c.term = q.term AND c.version <= s.version
            ORDER BY c.version DESC LIMIT 1
        ) t ON true
        GROUP BY q.term
    """  # nosec B608 # noqa: S608 - put together from constants


DOCUMENTS = _counts_of("unnest(CAST(:terms AS text[]))", scope=SCOPED)


async def document_counts(session: AsyncSession, scope: Scope, terms: Sequence[str]) -> dict[str, int]:
    """In how many documents of the scope each term stands."""
    found = await rows(session, DOCUMENTS, {**scope.facts, "terms": list(terms)})
    return {row["term"]: int(row["documents"]) for row in found}


class Parsed(Struct, frozen=True):
    """A query as PostgreSQL understands it: a tsquery, `querytree` of it, and the stem of the last word; and its scope.

    `counts` tells in how many documents of the scope its words stand; `longer` are terms that begin as the last word
    does, the most frequent ones, with the same, where that word itself is not frequent.
    """

    scope: Scope
    query: str
    tree: str
    stem: str | None
    counts: Mapping[str, int]
    longer: Mapping[str, int]


# The greatest of these is that of the newest version, and its remainder the count: no sort, and no look for each term.
_DATED = f"CAST(version AS bigint) * {FOREVER} + documents"
_PARSE = f"""
    asked AS MATERIALIZED (
        SELECT q, (SELECT min(lexeme) FROM unnest(to_tsvector('english', CAST(:prefix AS text)))) AS stem
        FROM websearch_to_tsquery('english', CAST(:text AS text)) q
    ), counted AS MATERIALIZED (
        {_counts_of("unnest(tsvector_to_array(to_tsvector('english', CAST(:text AS text))))", scope="scope s")}
    ), read AS MATERIALIZED (
        SELECT s.dataset_id, t.term, t.version, t.documents FROM asked CROSS JOIN scope s
        CROSS JOIN LATERAL (
            SELECT t.term, t.version, t.documents FROM term_counts t
            WHERE t.dataset_id = s.dataset_id AND t.term >= :prefix AND t.term < :beyond AND t.version <= s.version
            ORDER BY t.term, t.version LIMIT :rows
        ) t
        WHERE asked.stem IS NOT NULL
              AND NOT EXISTS (SELECT FROM counted c WHERE c.term = asked.stem AND c.documents >= :frequent)
        LIMIT :rows
    ), walk AS (
        SELECT s.dataset_id, s.version, (
            SELECT coalesce(max(r.term), CAST(:prefix AS text)) FROM read r WHERE r.dataset_id = s.dataset_id) AS term
        FROM scope s WHERE (SELECT count(*) FROM read) = :rows
        UNION ALL
        SELECT w.dataset_id, w.version, (
            SELECT t.term FROM term_counts t
            WHERE t.dataset_id = w.dataset_id AND t.term > w.term AND t.term < :beyond ORDER BY t.term LIMIT 1)
        FROM walk w WHERE w.term IS NOT NULL
    ), known AS (
        SELECT * FROM read
        UNION ALL
        SELECT w.dataset_id, w.term, t.version, t.documents FROM (SELECT * FROM walk LIMIT :steps) w
        CROSS JOIN LATERAL (
            SELECT t.version, t.documents FROM term_counts t
            WHERE t.dataset_id = w.dataset_id AND t.term = w.term AND t.version <= w.version
            ORDER BY t.version DESC LIMIT 1
        ) t
    ), longer AS MATERIALIZED (
        SELECT term, CAST(sum(documents) AS integer) AS documents FROM (
            SELECT term, max({_DATED}) % {FOREVER} AS documents FROM known
            WHERE term <> (SELECT stem FROM asked) GROUP BY dataset_id, term
        ) latest
        WHERE documents > 0 GROUP BY term ORDER BY 2 DESC, term LIMIT :most
    )
    SELECT {SCOPE_COLUMNS}, CAST(q AS text) AS query, querytree(q) AS tree, stem,
           ARRAY(SELECT term FROM counted) AS terms, ARRAY(SELECT documents FROM counted) AS counts,
           ARRAY(SELECT term FROM longer) AS longer, ARRAY(SELECT documents FROM longer) AS longer_counts
    FROM asked
"""  # nosec B608 # noqa: S608 - put together from constants


def parse_sql(chosen: Chosen | None) -> str:
    """SQL that reads a query and sizes its scope."""
    return f"WITH RECURSIVE {scope_sql(chosen)}, {_PARSE}"


async def parse(session: AsyncSession, chosen: Chosen | None, query: str, prefix: str | None) -> Parsed:
    """Stems a query, reads its operators and counts its words; whatever was typed, this does not fail."""
    facts = {"text": query, "prefix": prefix or "", "beyond": f"{prefix or ''}\U0010ffff"}
    bounds = {"frequent": bm25.MOST_MATCHES, "most": MOST_COMPLETIONS}
    bounds |= {"rows": COMPLETIONS_READ, "steps": COMPLETIONS_WALKED}
    (row,) = await rows(session, parse_sql(chosen), {**facts_of(chosen), **facts, **bounds})
    scope = scope_of(row)
    counts = {term: int(count) for term, count in zip(row["terms"], row["counts"], strict=True)}
    # A few signs are read as operators where they stand in a query, and as parts of a word in a text.
    missing = [lexeme for lexeme in lexemes(row["query"]) if lexeme not in counts]
    if missing:
        counts |= await document_counts(session, scope, missing)
    longer = dict(zip(row["longer"], row["longer_counts"], strict=True))
    return Parsed(scope, row["query"], row["tree"], row["stem"], counts, longer)


class Said(Struct, frozen=True):
    """What a text says: its terms, how often it says them (in a title they count more), its words; and the scope."""

    scope: Scope
    terms: Sequence[Term]
    words: str


def _said_sql(one: str, said: str) -> str:
    """SQL that counts what a text says in a scope: `one` is the text, `said` its terms."""
    return f"""
        one AS MATERIALIZED ({one}), said AS MATERIALIZED ({said}), told AS MATERIALIZED (
            SELECT term, in_query, documents FROM said
            JOIN ({_counts_of("(SELECT term FROM said)", scope="scope s")}) counted USING (term)
        )
        SELECT {SCOPE_COLUMNS}, (SELECT said FROM one) AS said, ARRAY(SELECT term FROM told) AS terms,
               ARRAY(SELECT in_query FROM told) AS often, ARRAY(SELECT documents FROM told) AS counts
    """  # nosec B608 # noqa: S608 - put together from constants


_SAID_BY_TEXT = _said_sql(
    "SELECT CAST(:title AS text) AS title, CAST(:text AS text) AS text, NULL AS said",
    f"""
    SELECT lexeme AS term, sum(weight * cardinality(positions)) AS in_query FROM (
        SELECT lexeme, positions, {bm25.TITLE} AS weight FROM one, unnest({vector_sql("title")})
        UNION ALL
        SELECT lexeme, positions, 1 FROM one, unnest({vector_sql("text")})
    ) said GROUP BY lexeme
    """,  # nosec B608 # noqa: S608 - put together from constants
)
_SAID_BY_INCIDENT = _said_sql(
    """
    SELECT c.title || E'\\n' || c.text AS said, c.tsv FROM revisions r JOIN contents c ON c.id = r.content_id
    WHERE r.document_id = :id AND r.valid_from <= :version AND r.valid_to > :version
    """,
    f"""
    SELECT u.lexeme AS term, cardinality(u.positions) + {bm25.TITLE - 1} * (
               SELECT count(*) FROM unnest(u.weights) w WHERE w = 'A') AS in_query
    FROM one, unnest(one.tsv) u
    """,  # nosec B608 # noqa: S608 - put together from constants
)


def said_by_incident_sql(chosen: Chosen | None) -> str:
    """SQL of what an incident says, as a version has it."""
    return f"WITH {scope_sql(chosen)}, {_SAID_BY_INCIDENT}"


async def said_by_incident(session: AsyncSession, chosen: Chosen | None, document_id: UUID, version: int) -> Said:
    """What an incident says as a version has it."""
    facts = {"id": document_id, "version": version}
    (row,) = await rows(session, said_by_incident_sql(chosen), {**facts_of(chosen), **facts})
    return _said(row, row["said"] or "")


async def said_by_text(session: AsyncSession, chosen: Chosen | None, *, title: str, rest: str) -> Said:
    """What a new text says."""
    facts = {"title": title, "text": rest}
    (row,) = await rows(session, f"WITH {scope_sql(chosen)}, {_SAID_BY_TEXT}", {**facts_of(chosen), **facts})
    return _said(row, title + rest)


def _said(row: Mapping[str, Any], words: str) -> Said:
    scope = scope_of(row)
    told = zip(row["terms"], row["often"], row["counts"], strict=True)
    least = 0 if scope.is_counted else 1
    return Said(scope, [Term(term, float(often), max(least, int(count))) for term, often, count in told], words)


async def find_at(session: AsyncSession, number: str, *, dataset_id: UUID | None, version: int | None) -> list[Row]:
    """The same as `find_at` of the knowledge room, past the session."""
    facts = {"version": version, "dataset": dataset_id, "number": number, "id": as_id(number)}
    found = await rows(session, AT_ID, facts) if facts["id"] is not None else []
    return found or await rows(session, AT_NUMBER, facts)


async def by_number(
    session: AsyncSession, scope: Scope, numbers: Sequence[str], filters: Filters
) -> list[tuple[UUID, int, str]]:
    """Incidents that bear one of the numbers, with the version in which they do, and the number."""
    conditions, facts = conditions_of(filters)
    sql = f"""
        SELECT r.document_id AS id, s.version, r.number FROM {SCOPED}
        JOIN revisions r ON r.dataset_id = s.dataset_id AND r.number = ANY(CAST(:numbers AS text[]))
             AND r.valid_from <= s.version AND r.valid_to > s.version
        JOIN contents c ON c.id = r.content_id
        WHERE true{conditions}
        ORDER BY r.number, r.document_id LIMIT 20
    """  # nosec B608 # noqa: S608 - put together from constants
    found = await rows(session, sql, {**scope.facts, **facts, "numbers": list(numbers)})
    return [(row["id"], row["version"], row["number"]) for row in found]


# Only the hits that are shown are highlighted; of a long text its beginning.
_SHOWN = """
    SELECT h.*, r.document_id AS id, r.dataset_id, r.number, c.title, c.attributes, c.url, r.change,
           r.source_updated_at, coalesce(v.published_at, v.created_at) AS synced_at,
           ts_headline('english', regexp_replace(translate(left(body.text, 8000), :marks, ''),
               '<|[./_:=@-](?=\\w)', '\\&' || :break, 'g'), CAST(:marking AS tsquery), :options) AS snippet,
           ARRAY(SELECT q.term FROM unnest(CAST(:terms AS text[]), CAST(CAST(:matchers AS text[]) AS tsquery[]))
                 WITH ORDINALITY AS q(term, matcher, place)
                 WHERE c.tsv @@ q.matcher ORDER BY q.place) AS matched
    FROM {hits}
    JOIN revisions r ON r.document_id = h.hit AND r.valid_from <= h.version AND r.valid_to > h.version
    JOIN contents c ON c.id = r.content_id
    LEFT JOIN versions v ON v.dataset_id = r.dataset_id AND v.number = r.valid_from
    CROSS JOIN LATERAL (SELECT concat_ws(E'\\n', coalesce(nullif(c.text, ''), c.title), (
        SELECT string_agg(said.value ->> 'text', E'\\n') FROM jsonb_array_elements(c.notes) AS said)) AS text) body
    ORDER BY h.ordinal
"""
SHOWN = _SHOWN.format(
    hits="unnest(CAST(:ids AS uuid[]), CAST(:read_in AS integer[])) WITH ORDINALITY AS h(hit, version, ordinal)"
)

_OPTIONS = f'StartSel={MARKS[0]}, StopSel={MARKS[1]}, MaxFragments=2, MaxWords=26, MinWords=10, FragmentDelimiter=" … "'


async def shown(session: AsyncSession, ranked: Sequence[Ranked], *, marking: str, terms: Sequence[str]) -> list[Row]:
    """What is shown of each hit, in order; `matched` are those of the terms that it has, in their order."""
    if not ranked:
        return []
    hits = {"ids": [one.id for one in ranked], "read_in": [one.version for one in ranked]}
    return await rows(session, SHOWN, {**hits, **_facts_of_shown(marking, terms)})


def _facts_of_shown(marking: str, terms: Iterable[str]) -> dict[str, Any]:
    return {
        "marking": marking,
        "terms": list(terms),
        "matchers": [quoted(term) for term in terms],
        "marks": "".join(MARKS) + BREAK,
        "break": BREAK,
        "options": _OPTIONS,
    }


@cache
def best_sql(candidates: str) -> str:
    """SQL that ranks the candidates and shows the first of them, in one."""
    ranked = f"""(
        SELECT * FROM (
            SELECT id AS hit, version, points, is_cut, row_number() OVER () AS ordinal, count(*) OVER () AS found
            FROM ({candidates}) ranked OFFSET 0
        ) numbered WHERE ordinal <= :shown
    ) h"""  # nosec B608 # noqa: S608 - put together from constants
    return _SHOWN.format(hits=ranked)


class Best(Struct, frozen=True):
    """The first hits, their rows as they are shown, and whether there are more."""

    ranked: list[Ranked]
    rows: list[Row]
    has_more: bool = False


async def best(session: AsyncSession, candidates: Candidates, *, most: int, marking: str) -> Best:
    """The first of what `rank` finds, as they are `shown`: one round trip instead of two."""
    facts = {**_facts_of_shown(marking, candidates.weights), "shown": most, "hits": most + 1}
    found = await scored(session, candidates, facts, statement_of=best_sql)
    ranked = [Ranked(row["id"], row["version"], row["points"] / ONE) for row in found]
    return Best(ranked, found, bool(found) and found[0]["found"] > most)
