"""Models that come and go, texts and servers that do not take part, and what a purge leaves: nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text

from integrations_api.access.principal import Principal
from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.connectors.embeddings.errors import TextRefused, TooSlow
from integrations_api.db.engine import Sessions
from integrations_api.knowledge import embedding, vectors
from integrations_api.knowledge.embedding import Model
from integrations_api.knowledge.service import KnowledgeService
from integrations_api.search.filler import EmbeddingFiller
from tests.search.conftest import Hybrid
from tests.support.applications import live_app
from tests.support.embedding import DIMENSION, EmbeddingServer, skip_without_pgvector
from tests.support.gates import gate
from tests.support.knowledge import build_versions, doc
from tests.support.processes import PATIENCE
from tests.support.syncing import ADMIN

pytestmark = pytest.mark.anyio

CAR = doc(title="Car broken", text="The car of the sales team does not start.")
PRINTER = doc(title="Printer jams", text="Paper is stuck in the second tray.")


@asynccontextmanager
async def configured(database_url: str, hybrid: Hybrid, *, model: str, batch: int = 16) -> AsyncIterator[Hybrid]:
    """The same service after its settings were changed and it was started again."""
    async with live_app(database_url, **hybrid.service.settings(model=model, batch=batch)) as live:
        yield Hybrid(live, hybrid.service)


def obstacle(hybrid: Hybrid) -> str | None:
    """Why nothing could be embedded."""
    return hybrid.live.components[EmbeddingFiller].obstacle


async def vectors_kept(sessions: Sessions) -> dict[str, int]:
    """Rows in each table of vectors."""
    async with sessions() as session:
        tables = await session.scalars(
            text("SELECT tablename FROM pg_tables WHERE tablename LIKE 'embedding\\_vectors\\_%' ORDER BY 1")
        )
        return {name: await session.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in tables.all()}


async def test_the_old_model_answers_until_the_new_one_is_complete(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    story = await build_versions(sessions, {f"INC{i}": doc(title=f"Car {i}", text="car") for i in range(6)})
    await hybrid.fill()
    hybrid.service.models["new"] = 32
    async with configured(database_url, hybrid, model="new", batch=2) as changed:
        filling = changed.live.components[EmbeddingFiller].filling()
        for _ in range(3):  # The count, and two of three batches.
            await anext(filling)
        hybrid.service.asked.clear()

        during = await changed.get("search", q="automobile")
        progress = await changed.progress(story)
        await filling.aclose()
        await changed.fill()

        assert during["ranking"] == "hybrid"
        assert [model for model, _ in hybrid.service.asked[:1]] == ["bag"]
        assert progress == {"model": "new", "answers": False, "embedded": 4, "refused": 0, "of": 6}
        assert (await changed.progress(story))["answers"] is True
        await changed.get("search", q="a vehicle")
        assert hybrid.service.asked[-1] == ("new", ["a vehicle"])


async def test_without_the_old_model_words_answer_until_the_new_one_is_complete(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    await build_versions(sessions, {"INC1": CAR})
    await hybrid.fill()
    hybrid.service.models = {"new": DIMENSION}

    async with configured(database_url, hybrid, model="new") as changed:
        before = await changed.get("search", q="automobile")
        await changed.fill()
    async with configured(database_url, hybrid, model="new") as changed:
        after = await changed.get("search", q="automobile")

    assert (before["ranking"], after["ranking"]) == ("lexical", "hybrid")


async def test_a_model_that_comes_back_within_the_hour_costs_nothing_and_is_gone_after_it(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    await build_versions(sessions, {"INC1": CAR})
    await hybrid.fill()
    hybrid.service.models["new"] = 32
    async with configured(database_url, hybrid, model="new") as changed:
        await changed.fill()
    hybrid.service.asked.clear()

    await hybrid.fill()
    await hybrid.live.components[EmbeddingFiller].tidy()
    kept = await vectors_kept(sessions)
    async with sessions.begin() as session:
        await session.execute(text("UPDATE embedding_models SET changed_at = now() - interval '61 minutes'"))
    await hybrid.live.components[EmbeddingFiller].tidy()

    assert hybrid.service.asked == []
    assert kept == {"embedding_vectors_1": 1, "embedding_vectors_2": 1}
    assert await vectors_kept(sessions) == {"embedding_vectors_1": 1}
    assert (await hybrid.get("search", q="automobile"))["ranking"] == "hybrid"


async def test_a_model_that_comes_back_does_not_answer_before_it_knows_what_is_new(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    story = await build_versions(sessions, {"INC1": CAR})
    await hybrid.fill()
    hybrid.service.models["new"] = 32
    async with configured(database_url, hybrid, model="new") as changed:
        await changed.fill()
    await story.version({"INC2": PRINTER})

    async with sessions.begin() as session:
        back = await embedding.want_model(session, "bag")
        took_over = await embedding.settle(session, back.id)
    await hybrid.fill()

    assert not took_over
    assert (await hybrid.progress(story))["answers"] is True


async def test_a_model_that_nobody_offers_is_told_and_given_up_for_another(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    story = await build_versions(sessions, {"INC1": CAR})
    async with configured(database_url, hybrid, model="tpyo") as wrong:
        await wrong.fill()
        said = str(obstacle(wrong))
        waiting = await wrong.progress(story)

    await hybrid.fill()

    assert "does not know the model tpyo" in said
    assert waiting == {"model": "tpyo", "answers": False, "embedded": 0, "refused": 0, "of": 1}
    assert await hybrid.progress(story) == {"model": "bag", "answers": True, "embedded": 1, "refused": 0, "of": 1}


async def test_a_text_that_is_too_long_for_the_service_is_cut_until_it_fits(hybrid: Hybrid, sessions: Sessions) -> None:
    long = doc(title="Log", text="car " * 1500)
    story = await build_versions(sessions, {"INC1": long, "INC2": PRINTER})
    hybrid.service.longest = 2000

    await hybrid.fill()

    assert (await hybrid.progress(story))["embedded"] == 2
    assert max(len(one) for one in hybrid.service.texts[-4:]) <= 6005
    assert (await hybrid.found("automobile"))[0] == "INC1"


async def test_one_text_that_is_refused_holds_no_other_up_and_is_told(hybrid: Hybrid, sessions: Sessions) -> None:
    documents = {f"INC{i}": doc(title=f"Printer {i}", text="jams") for i in range(9)}
    story = await build_versions(sessions, {**documents, "INC9": doc(title="poison", text="car")})
    hybrid.service.refuses = {"poison"}

    await hybrid.fill()

    assert await hybrid.progress(story) == {"model": "bag", "answers": True, "embedded": 9, "refused": 1, "of": 10}
    assert (await hybrid.get("search", q="poison"))["hits"][0]["number"] == "INC9"


async def test_one_text_without_a_vector_holds_no_other_up(hybrid: Hybrid, sessions: Sessions) -> None:
    documents = {f"INC{i}": doc(title=f"Printer {i}", text="jams") for i in range(9)}
    story = await build_versions(sessions, {**documents, "INC9": doc(title="numb", text="car")})
    hybrid.service.numbs = {"numb"}

    await hybrid.fill()

    assert await hybrid.progress(story) == {"model": "bag", "answers": True, "embedded": 9, "refused": 1, "of": 10}
    assert (await hybrid.get("search", q="a numb car"))["ranking"] == "lexical"
    assert (await hybrid.get("search", q="a vehicle"))["ranking"] == "hybrid"


async def test_a_service_that_refuses_everything_gives_no_text_up(hybrid: Hybrid, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    hybrid.service.longest = 0

    await hybrid.fill()

    assert "refuses the request (400)" in str(obstacle(hybrid))
    assert (await hybrid.progress(story))["refused"] == 0


async def test_another_model_by_the_same_name_is_not_mixed_in(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    story = await build_versions(sessions, {"INC1": CAR})
    await hybrid.fill()
    hybrid.service.models["bag"] = 32
    await story.version({"INC2": PRINTER})

    await hybrid.fill()

    said = str(obstacle(hybrid))
    assert "gives vectors of 32 numbers now, and of 64 before" in said
    assert (await hybrid.progress(story))["embedded"] == 1
    # Its vectors do not fit either: the search goes by words, and does not fail.
    assert (await hybrid.get("search", q="automobile"))["ranking"] == "lexical"


class FickleEmbedder:
    """Takes one text at a time, and makes a longer vector of each."""

    def __init__(self) -> None:
        self.asked = 0

    async def embed(self, texts: Sequence[str], *, model: str) -> list[Vector]:
        if len(texts) > 1:
            raise TextRefused("too many")
        self.asked += 1
        return [(1.0,) + (0.0,) * self.asked]

    async def embed_at_once(self, text: str, *, model: str, within: timedelta) -> Vector:
        raise AssertionError("nobody searches")


async def test_parts_of_a_batch_that_come_in_different_lengths_are_refused_in_words(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    filler = EmbeddingFiller(sessions=sessions, embedder=FickleEmbedder(), model="fickle", batch=16)

    await filler.fill()

    assert "gives vectors of 3 numbers now, and of 2 before" in str(filler.obstacle)
    assert await vectors_kept(sessions) == {}
    async with sessions() as session:
        free = await session.scalar(text("SELECT count(*) FROM embedding_queue WHERE claimed_until < now()"))
    assert free == 2


class SlowEmbedder:
    """Takes too long over more than two texts."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def embed(self, texts: Sequence[str], *, model: str) -> list[Vector]:
        self.asked.append(len(texts))
        if len(texts) > 2:
            raise TooSlow("not in time")
        return [(1.0, 0.0)] * len(texts)

    async def embed_at_once(self, text: str, *, model: str, within: timedelta) -> Vector:
        raise AssertionError("nobody searches")


@pytest.mark.parametrize(("batch", "asked"), [(8, [6, 4, 2, 2, 2]), (24, [6, 6, 6, 3, 3])])
async def test_a_batch_that_takes_too_long_is_smaller_the_next_time_but_not_without_end(
    hybrid: Hybrid, sessions: Sessions, batch: int, asked: list[int]
) -> None:
    await build_versions(sessions, {f"INC{i}": doc(title=f"Car {i}") for i in range(6)})
    embedder = SlowEmbedder()
    filler = EmbeddingFiller(sessions=sessions, embedder=embedder, model="slow", batch=batch)

    for _ in range(5):
        filler.resume()
        await filler.fill()

    assert embedder.asked == asked


async def test_vectors_that_are_too_long_to_be_found_are_refused_in_words(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": CAR})
    hybrid.service.models["bag"] = 4001

    await hybrid.fill()

    said = str(obstacle(hybrid))
    assert "at most 4000" in said
    assert await vectors_kept(sessions) == {}


async def test_a_service_that_failed_is_left_alone_for_a_while_and_nothing_is_lost(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    story = await build_versions(sessions, {"INC1": CAR})
    hybrid.service.faults = [401]
    await hybrid.fill()
    await hybrid.fill()
    asked = len(hybrid.service.asked)

    hybrid.live.components[EmbeddingFiller].resume()
    await hybrid.fill()

    assert (asked, obstacle(hybrid)) == (1, None)
    assert (await hybrid.progress(story))["embedded"] == 1


async def test_a_purge_removes_the_vector_unless_another_incident_says_the_same(
    hybrid: Hybrid, sessions: Sessions
) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": doc(title=CAR.title, text=CAR.text, state="Closed")})
    await hybrid.fill()

    await purge(hybrid, "INC1")
    shared = await vectors_kept(sessions)
    await purge(hybrid, "INC2")

    assert shared == {"embedding_vectors_1": 1}
    assert await vectors_kept(sessions) == {"embedding_vectors_1": 0}


async def test_a_text_that_is_purged_while_it_is_embedded_leaves_no_vector(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    story = await build_versions(sessions, {"INC3": doc(title="Name", text="of a person")})
    filler = hybrid.live.components[EmbeddingFiller]
    model = await filler._prepared()
    while await filler._swept(model):
        pass
    claimed = await filler._claimed(model)
    assert claimed is not None

    await purge(hybrid, "INC3")
    await filler._embed(model, claimed)

    assert len(claimed) == 1
    assert await vectors_kept(sessions) == {"embedding_vectors_1": 2}
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM embedding_queue")) == 0
        assert await embedding.progress(session, story.dataset_id) is not None


async def test_texts_that_are_gone_keep_none_waiting_that_is_behind_them(hybrid: Hybrid, sessions: Sessions) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    filler = hybrid.live.components[EmbeddingFiller]
    filler._batch = 1
    model = await filler._prepared()
    while await filler._swept(model):
        pass
    async with sessions.begin() as session:
        printer = (
            "SELECT t.hash FROM content_texts t JOIN contents c ON c.id = t.content_id WHERE c.title = 'Printer jams'"
        )
        behind = f"UPDATE embedding_queue SET claimed_until = '2000-01-01' WHERE hash = ({printer})"
        await session.execute(text(behind))
        await session.execute(text("DELETE FROM revisions WHERE number = 'INC1'"))
        await session.execute(text("DELETE FROM contents WHERE title = 'Car broken'"))

    await hybrid.fill()

    assert await vectors_kept(sessions) == {"embedding_vectors_1": 1}


async def test_vectors_of_texts_that_are_gone_by_other_ways_are_tidied_away(hybrid: Hybrid, sessions: Sessions) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM revisions WHERE number = 'INC2'"))
        await session.execute(text("DELETE FROM contents WHERE title = 'Printer jams'"))

    await hybrid.live.components[EmbeddingFiller].tidy()

    assert await vectors_kept(sessions) == {"embedding_vectors_1": 1}
    assert story.last == 1


async def test_a_text_that_comes_back_while_its_vector_is_tidied_away_is_embedded_again(
    hybrid: Hybrid, sessions: Sessions, database_url: str
) -> None:
    await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER})
    await hybrid.fill()
    async with sessions.begin() as session:
        await session.execute(text("DELETE FROM revisions WHERE number = 'INC2'"))
        await session.execute(text("DELETE FROM contents WHERE title = 'Printer jams'"))
    async with gate(database_url, when="true", at="DELETE ON embedding_vectors_1") as closed:
        tidying = asyncio.create_task(hybrid.live.components[EmbeddingFiller].tidy())
        await closed.reached()
        await build_versions(sessions, {"INC3": PRINTER})
        await hybrid.fill()
        await closed.open()
        await tidying

    await hybrid.fill()

    assert await vectors_kept(sessions) == {"embedding_vectors_1": 2}


async def test_a_server_without_pgvector_stays_lexical_and_says_why(
    database_url: str, service: EmbeddingServer, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "EXTENSION", "vector_that_nobody_has")
    story = await build_versions(sessions, {"INC1": CAR})

    async with live_app(database_url, **service.settings()) as live:
        without = Hybrid(live, service)
        await without.fill()
        answer = await without.get("search", q="car")
        progress = await without.progress(story)
        said = str(obstacle(without))

    assert "this PostgreSQL has no pgvector" in said
    assert (answer["ranking"], len(answer["hits"]), progress) == ("lexical", 1, None)
    assert service.asked == []


@pytest.mark.parametrize("taken", ["DROP EXTENSION vector CASCADE", "DROP TABLE embedding_vectors_1"])
async def test_when_vectors_are_taken_away_words_answer_until_they_are_made_anew(
    hybrid: Hybrid, sessions: Sessions, taken: str
) -> None:
    story = await build_versions(sessions, {"INC1": CAR, "INC2": PRINTER, "INC3": doc(title="Car", text="of a person")})
    await hybrid.fill()
    async with sessions.begin() as session:
        await session.execute(text(taken))

    without = [
        await hybrid.get("search", q="automobile car"),
        await hybrid.get("incidents/INC1/similar"),
        await hybrid.post("similar", {"text": "car"}),
    ]
    await purge(hybrid, "INC3")
    await hybrid.fill()
    again = await hybrid.get("incidents/INC1/similar")

    assert [answer["ranking"] for answer in without] == ["lexical"] * 3
    assert (obstacle(hybrid), again["ranking"]) == (None, "hybrid")
    assert await hybrid.progress(story) == {"model": "bag", "answers": True, "embedded": 2, "refused": 0, "of": 2}


async def test_who_may_not_switch_pgvector_on_is_told_who_can(database_url: str, sessions: Sessions) -> None:
    await skip_without_pgvector(database_url)
    async with sessions() as session:
        await session.execute(text("CREATE ROLE limited_embedder NOLOGIN"))
        await session.execute(text("SET LOCAL ROLE limited_embedder"))

        said = await vectors.obstacle(session)
        await session.rollback()

    assert "CREATE EXTENSION vector" in str(said)


async def test_a_pgvector_that_is_too_old_is_told(
    database_url: str, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await skip_without_pgvector(database_url)
    monkeypatch.setattr(vectors, "LEAST_PGVECTOR", (99, 0))
    async with sessions.begin() as session:
        assert "is too old" in str(await vectors.obstacle(session))


async def purge(hybrid: Hybrid, number: str) -> None:
    principal: Principal = ADMIN
    service = hybrid.live.components[KnowledgeService]
    await service.purge(number, dataset_id=None, reason="asked for", principal=principal)


async def test_two_models_that_are_swept_for_at_once_both_get_every_text(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "SWEEP", 2)
    await build_versions(sessions, {f"INC{i}": doc(title=f"Car {i}", text="car") for i in range(5)})
    async with sessions.begin() as session:
        old, new = [await embedding.want_model(session, name) for name in ("old", "new")]

    async def sweep(model: Model) -> bool:
        async with sessions.begin() as session:
            return await embedding.sweep(session, model)

    async with sessions.begin() as session:
        await embedding.sweep(session, old)
        beside = asyncio.create_task(sweep(new))
        await somebody_waits(sessions)
    await beside
    while await sweep(new):
        pass

    async with sessions() as session:
        queued = text("SELECT count(*) FROM embedding_queue WHERE model_id = :model")
        assert await session.scalar(queued, {"model": new.id}) == 5


async def test_a_large_dataset_is_looked_through_so_many_times_and_not_once_for_each_piece(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "SWEEP", 2)
    monkeypatch.setattr(embedding, "SWEEPS", 3)
    await build_versions(sessions, {f"INC{i}": doc(title=f"Car {i}", text="car") for i in range(30)})
    async with sessions.begin() as session:
        model = await embedding.want_model(session, "new")

    looks = 0
    while True:
        async with sessions.begin() as session:
            if not await embedding.sweep(session, model):
                break
        looks += 1

    assert looks == 4  # The last one queues them.
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM embedding_queue")) == 30


async def test_a_model_does_not_answer_while_another_worker_has_a_text_that_is_not_embedded_yet(
    sessions: Sessions, database_url: str
) -> None:
    await skip_without_pgvector(database_url)
    await build_versions(sessions, {"INC1": CAR})

    async def settled() -> bool:
        async with sessions.begin() as session:
            return await embedding.settle(session, model.id)

    async with sessions.begin() as session:
        await vectors.obstacle(session)
        model = await embedding.want_model(session, "new")
        await embedding.note_dimension(session, model.id, 3)
        model = await embedding.want_model(session, "new")
        while await embedding.sweep(session, model):
            pass
    async with sessions.begin() as session:
        claimed = await embedding.claim(session, model.id, many=10)
        nothing_waits = await embedding.claim(session, model.id, many=10) is None
    too_early = await settled()
    async with sessions.begin() as session:
        await vectors.store(session, model.id, dict.fromkeys(claimed or (), (1.0, 0.0, 0.0)))

    assert (nothing_waits, too_early, await settled()) == (True, False, True)


async def somebody_waits(sessions: Sessions) -> None:
    """Until a transaction waits for another one to end."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'"
    async with asyncio.timeout(PATIENCE):
        while True:
            async with sessions() as session:
                if await session.scalar(text(waiting)):
                    return
            await asyncio.sleep(0.02)
