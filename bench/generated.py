"""A knowledge base of many made-up incidents, written straight into the tables in the product's shapes."""

import math
import random
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.db.engine import Sessions
from integrations_api.knowledge import terms

WORDS = 60_000
"""Words of the vocabulary. That of rank r comes as often as 1/r says, so that the commonest is nearly everywhere."""
IN_TITLE = 6
IN_ALL = 56
SLICE = 20_000
"""Incidents written by one statement."""

_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_WORD = "'w' || translate(to_hex({rank} * 7919), '0123456789', 'ghijklmnop')"


def word(rank: int) -> str:
    """The word of that rank, from 1 on."""
    return "w" + format(rank * 7919, "x").translate(_LETTERS)


def any_word(chance: random.Random) -> str:
    """A word, drawn as those of the incidents are."""
    return word(math.ceil(WORDS ** chance.random()))


def number(n: int) -> str:
    """The number of the n-th incident, from 1 on."""
    return f"INC{n:07d}"


_CONTENTS = text(f"""
    INSERT INTO contents (dataset_id, hash, title, text, notes, attributes, url, tsv, words)
    SELECT :dataset, decode(md5(CAST(n AS text)), 'hex'), title, body, '[]', jsonb_build_object(
               'state', (array['New', 'In Progress', 'Resolved', 'Closed'])[1 + n % 4],
               'priority', (array['1 - Critical', '2 - High', '3 - Moderate', '4 - Low'])[1 + n % 4],
               'category', 'category ' || n % 30, 'assignment_group', 'group ' || n % 200,
               'opened_at', to_char(timestamp '2024-01-01' + n * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'resolution', 'done ' || n),
           'https://source.example/' || n, tsv, {terms.WORDS_SQL.format(vector="tsv")}
    FROM (
        SELECT n, string_agg(word, ' ' ORDER BY k) FILTER (WHERE k <= {IN_TITLE}) AS title,
               string_agg(word, ' ' ORDER BY k) FILTER (WHERE k > {IN_TITLE}) AS body
        FROM (
            SELECT n, k, {_WORD.format(rank=f"CAST(ceil(power({WORDS}, random())) AS integer)")} AS word
            FROM generate_series(CAST(:first AS integer), :last) n, generate_series(1, {IN_ALL}) k
        ) said GROUP BY n
    ) incident,
    LATERAL (SELECT {terms.document_vector_sql(title="title", text="body", spoken="''")} AS tsv
             OFFSET 0) searched
""")

_ALL_ELSE = (
    """
    INSERT INTO documents (id, dataset_id, external_id)
    SELECT CAST(encode(hash, 'hex') AS uuid), dataset_id, encode(hash, 'hex') FROM contents
    """,
    """
    INSERT INTO revisions (document_id, valid_from, dataset_id, content_id, number, change, source_updated_at)
    SELECT CAST(encode(hash, 'hex') AS uuid), 1, dataset_id, id, 'INC' || lpad(CAST(row_number() OVER (ORDER BY id)
           AS text), 7, '0'), 'added', now() FROM contents
    """,
    "CREATE INDEX ix_contents_tsv ON contents USING gin (tsv)",
    "ANALYZE",
)


async def fill(sessions: Sessions, documents: int) -> UUID:
    """Makes one dataset with one published version of so many incidents, the same ones each time."""
    dataset = uuid4()
    async with sessions() as session, session.begin():
        await _begin(session, dataset, documents)
    for first in range(1, documents + 1, SLICE):
        last = min(first + SLICE - 1, documents)
        async with sessions() as session, session.begin():
            await session.execute(text("SELECT setseed(:seed)"), {"seed": first / (documents + 1)})
            await session.execute(_CONTENTS, {"dataset": dataset, "first": first, "last": last})
        print(f"\r{last:,} of {documents:,} incidents made", end="", flush=True)
    print(flush=True)
    async with sessions() as session, session.begin():
        await session.execute(text("SET LOCAL maintenance_work_mem TO '512MB'"))
        for statement in _ALL_ELSE:
            await session.execute(text(statement))
        await terms.count_version(session, dataset_id=dataset, version=1)
        await session.execute(text("UPDATE datasets SET head = 1"))
    return dataset


async def _begin(session: AsyncSession, dataset: UUID, documents: int) -> None:
    # One pass over all texts makes the index some ten times as fast as entering them one by one.
    await session.execute(text("DROP INDEX ix_contents_tsv"))
    facts = {"dataset": dataset, "documents": documents}
    await session.execute(
        text("""
            INSERT INTO datasets (id, service_name, last_version, documents)
            VALUES (:dataset, 'Generated', 1, :documents)
        """),
        facts,
    )
    await session.execute(
        text("""
            INSERT INTO versions (dataset_id, number, state, kind, documents, published_at)
            VALUES (:dataset, 1, 'published', 'sync', :documents, now())
        """),
        facts,
    )
