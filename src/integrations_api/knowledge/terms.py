"""What searching needs of every text: its search vector, and in how many documents of a version each term stands.

`term_counts` keeps a row for each term and version in which its number of documents changed, so that a ranking over
an old version weighs terms as they were weighed then. Every function works in its caller's transaction, and its cost
follows the documents that changed. See docs/decisions/term-statistics.md.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

JOINTS = "./_-:=@<>"
"""Characters that join words into names, paths, addresses and tags: each part is searched as a word of its own."""
LONGEST_TEXT = 60_000
"""Characters of a text that are searched: a search vector holds at most 1 MB, and one may need four bytes."""

_PIECE = re.compile(r".{1,200}\s|.{1,200}", re.DOTALL)


def composed(text: str) -> str:
    """The text with each letter and its accents as one character: most sources write it so, some programs do not.

    Piece by piece: accents are put in order in a time that grows with their square.
    """
    if text.isascii():
        return text
    return "".join(unicodedata.normalize("NFC", piece) for piece in _PIECE.findall(text))


def quoted(lexeme: str) -> str:
    """A lexeme as it is written in a tsvector or a tsquery."""
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def vector_sql(part: str) -> str:
    """SQL of the search vector of an SQL text, in which compound names are taken apart."""
    blanks = " " * len(JOINTS)
    return f"to_tsvector('english', translate(left({part}, {LONGEST_TEXT}), '{JOINTS}', '{blanks}'))"


def spoken_sql(notes: str) -> str:
    """SQL of the words of notes (an SQL jsonb)."""
    return f"coalesce((SELECT string_agg(note ->> 'text', ' ') FROM jsonb_array_elements({notes}) note), '')"  # nosec B608 # noqa: S608 - put together from constants


def document_vector_sql(*, title: str, text: str, spoken: str) -> str:
    """SQL of a document's search vector: its title weighs A, its text B, the words of its notes C."""
    return (
        f"setweight({vector_sql(title)}, 'A') || setweight({vector_sql(text)}, 'B') "
        f"|| setweight({vector_sql(spoken)}, 'C')"
    )


WORDS_SQL = "(SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest({vector}))"
"""SQL of the length of a search vector, in words: format it with the vector's SQL."""

# Terms and words of the contents that a version brings, and of those that it replaces. A touched revision does
# neither. `ts_stat` counts at the speed of C, and takes its query as a text: made here from an id and numbers alone.
_COMES = """
    FROM revisions r JOIN contents c ON c.id = r.content_id
    WHERE r.dataset_id = %L AND r.valid_from = %L AND r.change IN ('added', 'updated')
"""
# `OFFSET 0` keeps the planner from reading all that the version ended for each revision that it began: before there are
# statistics of a version it takes them for one row. An added document lived nowhere before, so a first version, and a
# growing one, look nothing up.
_GOES = """
    FROM revisions r
    JOIN LATERAL (
        SELECT content_id FROM revisions
        WHERE document_id = r.document_id AND valid_to = r.valid_from AND change <> 'deleted' OFFSET 0
    ) p ON true
    JOIN contents c ON c.id = p.content_id
    WHERE r.dataset_id = %L AND r.valid_from = %L AND r.change IN ('updated', 'deleted')
"""


def _counted(rows: str) -> str:
    query = f"SELECT c.tsv {rows}"
    return f"ts_stat(format($${query}$$, CAST(:dataset AS uuid), CAST(:version AS integer)))"


def _words(rows: str) -> str:
    bound = rows.replace("%L", ":dataset", 1).replace("%L", ":version", 1)
    return f"(SELECT coalesce(sum(c.words), 0) {bound})"


_COUNT_TERMS = text(f"""
    INSERT INTO term_counts (dataset_id, term, version, documents)
    SELECT :dataset, moved.term, :version, coalesce(before.documents, 0) + moved.documents
    FROM (
        SELECT both_ways.word COLLATE "C" AS term, sum(both_ways.documents) AS documents
        FROM (
            SELECT word, ndoc AS documents FROM {_counted(_COMES)}
            UNION ALL SELECT word, -ndoc FROM {_counted(_GOES)}
        ) both_ways
        GROUP BY 1 HAVING sum(both_ways.documents) <> 0
    ) moved
    LEFT JOIN LATERAL (
        SELECT t.documents FROM term_counts t
        WHERE t.dataset_id = :dataset AND t.term = moved.term AND t.version < :version
        ORDER BY t.version DESC LIMIT 1
    ) before ON true
""")  # nosec B608 # noqa: S608 - put together from constants

_COUNT_WORDS = text(f"""
    UPDATE versions v
    SET words = {_words(_COMES)} - {_words(_GOES)} + coalesce((
        SELECT p.words FROM versions p
        WHERE p.dataset_id = :dataset AND p.number < :version AND p.state = 'published'
        ORDER BY p.number DESC LIMIT 1
    ), 0)
    WHERE v.dataset_id = :dataset AND v.number = :version
""")  # nosec B608 # noqa: S608 - put together from constants


async def count_version(session: AsyncSession, *, dataset_id: UUID, version: int) -> None:
    """Counts terms and words of a version that is being published, from those of the one before."""
    facts = {"dataset": dataset_id, "version": version}
    # While the table looks small to the planner, it would be scanned for each term, and grow under the scan.
    await session.execute(text("SET LOCAL enable_seqscan TO off"))
    await session.execute(_COUNT_TERMS, facts)
    await session.execute(_COUNT_WORDS, facts)
    await session.execute(text("SET LOCAL enable_seqscan TO DEFAULT"))


# Where a document lived with which content, in published versions; a content may come more than once.
_LIVED = """
    lived AS (
        SELECT r.valid_from AS begun, r.valid_to AS ended, r.content_id FROM revisions r
        JOIN datasets d ON d.id = r.dataset_id
        WHERE r.document_id = :id AND r.change <> 'deleted' AND r.valid_from <= d.head
    )
"""

# A count holds from its row to the term's next one. Where the document came or went without a row, for others went or
# came with it, a row is put first, so that the subtraction has the document's own bounds.
_BOUNDS = text(f"""
    WITH {_LIVED}, bound AS (
        SELECT DISTINCT u.lexeme COLLATE "C" AS term, edge.version
        FROM lived l JOIN contents c ON c.id = l.content_id, unnest(c.tsv) u,
             LATERAL (VALUES (l.begun), (l.ended)) edge(version)
        WHERE edge.version <= (SELECT head FROM datasets WHERE id = :dataset)
    )
    INSERT INTO term_counts (dataset_id, term, version, documents)
    SELECT :dataset, b.term, b.version, before.documents
    FROM bound b
    JOIN LATERAL (
        SELECT t.documents FROM term_counts t
        WHERE t.dataset_id = :dataset AND t.term = b.term AND t.version <= b.version ORDER BY t.version DESC LIMIT 1
    ) before ON true
    ON CONFLICT DO NOTHING
""")  # nosec B608 # noqa: S608 - put together from constants

_UNCOUNT_TERMS = text(f"""
    WITH {_LIVED}, held AS (
        SELECT u.lexeme COLLATE "C" AS term, l.begun, l.ended
        FROM lived l JOIN contents c ON c.id = l.content_id, unnest(c.tsv) u
    )
    UPDATE term_counts t SET documents = t.documents - 1 FROM held h
    WHERE t.dataset_id = :dataset AND t.term = h.term AND t.version >= h.begun AND t.version < h.ended
""")  # nosec B608 # noqa: S608 - put together from constants

# Both in one statement: a year has tens of thousands of versions in which the document lived.
_UNCOUNT_VERSIONS = text(f"""
    WITH {_LIVED}
    UPDATE versions v SET words = v.words - c.words, documents = greatest(v.documents - 1, 0)
    FROM lived l JOIN contents c ON c.id = l.content_id
    WHERE v.dataset_id = :dataset AND v.number >= l.begun AND v.number < l.ended AND v.state = 'published'
""")  # nosec B608 # noqa: S608 - put together from constants


async def uncount_document(session: AsyncSession, *, dataset_id: UUID, document_id: UUID) -> None:
    """Takes a document out of what is counted of every version, before it is purged; its rare words go altogether."""
    facts = {"dataset": dataset_id, "id": document_id}
    terms = await session.scalars(
        text(f"WITH {_LIVED} SELECT DISTINCT u.lexeme FROM lived JOIN contents c ON c.id = content_id, unnest(tsv) u"),  # nosec B608 # noqa: S608 - put together from constants
        facts,
    )
    await session.execute(_BOUNDS, facts)
    await session.execute(_UNCOUNT_TERMS, facts)
    await session.execute(_UNCOUNT_VERSIONS, facts)
    # A word of a purged text must not stay behind here.
    await forget_unread(session, dataset_id=dataset_id, terms=list(terms))


async def forget_unread(session: AsyncSession, *, dataset_id: UUID, terms: Sequence[str]) -> int:
    """Removes, of the given terms, the counts that no version needs that can be read; how many those were.

    A count is needed from its version on until the term's next one; a count of nothing only where others come before.
    """
    deleted = await session.execute(_FORGET, {"dataset": dataset_id, "terms": list(terms)})
    return cast("CursorResult[Any]", deleted).rowcount


_FORGET = text("""
    WITH kept AS (
        SELECT coalesce(array_agg(number ORDER BY number), '{}') AS numbers
        FROM versions WHERE dataset_id = :dataset AND state = 'published'
    ), counts AS (
        SELECT ctid, term, version, documents, lead(version) OVER (PARTITION BY term ORDER BY version) AS ended
        FROM term_counts WHERE dataset_id = :dataset AND term = ANY(CAST(:terms AS text[]))
    ), judged AS (
        SELECT c.*, ended IS NULL OR width_bucket(ended - 1, (SELECT numbers FROM kept))
                                     > width_bucket(version - 1, (SELECT numbers FROM kept)) AS is_read
        FROM counts c
    ), needed AS (
        SELECT ctid, is_read AND max(documents) FILTER (WHERE is_read) OVER (PARTITION BY term ORDER BY version) > 0
               AS is_needed
        FROM judged
    )
    DELETE FROM term_counts WHERE ctid = ANY(ARRAY(SELECT ctid FROM needed WHERE NOT is_needed))
""")
"""`width_bucket` counts the kept versions up to a number, by halves: where it is the same at both ends, none lies
between. The numbers are no column of a join: they would be copied, of a year 200 kB, for each row."""
