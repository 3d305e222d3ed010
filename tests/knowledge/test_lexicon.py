"""Search vectors made from single words are those that PostgreSQL makes of the whole text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import make_url

from integrations_api.db.engine import Sessions, create_engine, create_sessions
from integrations_api.knowledge import terms
from integrations_api.knowledge.lexicon import Lexicon, Vector, words_of

pytestmark = pytest.mark.anyio

Parts = tuple[str, str, str]

MADE = terms.document_vector_sql(title="made.a", text="made.b", spoken="made.c")
COMPARE = text(f"""
    SELECT CAST(made.vector AS tsvector)::text AS ours, ({MADE})::text AS theirs,
           {terms.WORDS_SQL.format(vector=f"({MADE})")} AS words
    FROM unnest(CAST(:a AS text[]), CAST(:b AS text[]), CAST(:c AS text[]), CAST(:vectors AS text[]))
         AS made(a, b, c, vector)
""")

ODD = (
    "the printer's printing Printed PRINTERS 8.4.12 mail@acme.example.com http://x.example/a?b=c&d#e ~3hr +5 -7 1e5",
    "& + ; % – • · 0x1F 50% &amp; &#38; <b>bold</b> O'Brien naïve Straße ΣΊΣΥΦΟΣ 日本語 под don't #42 *star* a+b x^2",
    'C:\\temp\\file.txt /var/log/app.log --flag {json: [1,2]} "quoted, words"; (so!) e-mail zqzqz zqzqzs ² ½ … “smart”',
)
WORDS = [word for line in ODD for word in line.split(" ")]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(CHARACTERS, max_size=6), max_size=8).flatmap(
    lambda words: st.sampled_from([" ", "\n", ", ", "", "\t~", "'"]).map(lambda joint: joint.join(words))
)


async def vectors(sessions: Sessions, documents: list[Parts]) -> list[Vector | None]:
    lexicon = Lexicon()
    taken_apart = [{weight: words_of(part) for weight, part in zip("ABC", each, strict=True)} for each in documents]
    async with sessions() as session:
        await lexicon.learn(session, taken_apart)
    return [lexicon.vector(document) for document in taken_apart]


async def assert_same(sessions: Sessions, documents: list[Parts]) -> None:
    ours = await vectors(sessions, documents)
    columns = {name: [document[i] for document in documents] for i, name in enumerate("abc")}
    async with sessions() as session:
        rows = await session.execute(COMPARE, {**columns, "vectors": [v.literal if v else None for v in ours]})
    for document, vector, row in zip(documents, ours, rows, strict=True):
        if vector is not None:
            assert (row.ours, vector.words) == (row.theirs, row.words), document


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=30))
async def test_a_vector_made_word_by_word_is_the_one_of_the_whole_text(
    documents: list[Parts], sessions: Sessions
) -> None:
    await assert_same(sessions, documents)


async def test_a_database_with_the_locale_c_reads_words_its_own_way(database_url: str) -> None:
    theirs = make_url(database_url)
    name = f"{theirs.database}_c"
    engine = create_engine(database_url, pool_size=1).execution_options(isolation_level="AUTOCOMMIT")
    made = create_engine(theirs.set(database=name).render_as_string(hide_password=False), pool_size=1)
    locale = "TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'"
    async with engine.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}" {locale}'))
        documents = [
            ("Printer – offline", "• no\u00a0paper\u3000left", "\u00a0 50 % · "),
            ("one\u2003two", "\u2003", ""),
        ]

        assert all(await vectors(create_sessions(made), documents))
        await assert_same(create_sessions(made), documents)

        await made.dispose()
        await connection.execute(text(f'DROP DATABASE "{name}"'))
    await engine.dispose()


async def test_plain_texts_are_not_left_to_postgresql(sessions: Sessions) -> None:
    documents = [
        ("VPN is down", "- From the home office:\n15:10:12 reason: IRQL_NOT_LESS", "Rolled back to 8.4.12, it works."),
        ("", "", ""),
        ("the", "of and to", ""),
    ]

    assert all(await vectors(sessions, documents))
    await assert_same(sessions, documents)


async def test_a_text_of_more_places_than_a_vector_keeps_is_left_to_postgresql(sessions: Sessions) -> None:
    fits, too_long = ("", "printer " * 255, ""), ("", "printer " * 256, "")

    first, second = await vectors(sessions, [fits, too_long])

    assert first is not None
    assert second is None
    await assert_same(sessions, [fits])


@pytest.mark.parametrize("word", ["~3hr", "+5", "&amp;", "%20"])
async def test_a_word_after_a_sign_is_left_to_postgresql(word: str, sessions: Sessions) -> None:
    assert await vectors(sessions, [(word, "", ""), ("", f"about {word}", "")]) == [None, None]


async def test_a_full_lexicon_keeps_what_it_needs_and_forgets_the_rest(sessions: Sessions) -> None:
    lexicon = Lexicon(limit=4)

    async with sessions() as session:
        await lexicon.learn(session, [{"A": ["old", "words", "here"]}])
        await lexicon.learn(session, [{"A": ["old", "and", "new"]}])

    assert lexicon.vector({"A": ["old", "new"]}) == Vector("'old':1A 'new':2A", 2)
    assert lexicon.vector({"A": ["words"]}) is None
