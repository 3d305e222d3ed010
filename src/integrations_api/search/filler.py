"""Embeds what live heads lack, in the background: after a publish, never in its way."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from integrations_api.connectors.embeddings.embedder import Embedder, Vector
from integrations_api.connectors.embeddings.errors import TextRefused, TooSlow
from integrations_api.connectors.errors import ConnectorError, Refused
from integrations_api.db.engine import Sessions
from integrations_api.errors import ApplicationError
from integrations_api.knowledge import embedding, vectors
from integrations_api.knowledge.embedding import Model
from integrations_api.logs import get_logger

log = get_logger(__name__)

PAUSE = 60.0
"""Seconds in which a service that failed, after all retries, is left alone."""
SHORTEST = 500
"""Characters down to which a text that the service finds too long is cut by halves."""
SMALLEST_PART = 8
"""Down to so small a part a batch is made smaller while the service takes too long."""
_PROBE = "Is this text too long?"


class CannotEmbed(ApplicationError):
    """Nothing can be embedded as things are; the message says why and what to do."""


class Step(Struct, frozen=True):
    """How far all datasets are, in incidents; `refused` are those whose text the service does not take."""

    embedded: int = 0
    refused: int = 0
    of: int = 0

    @property
    def waiting(self) -> int:
        """What is neither embedded nor refused."""
        return self.of - self.embedded - self.refused


class EmbeddingFiller:
    """Every worker has one. They share the queue; each batch is embedded between two transactions."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        embedder: Embedder,
        model: str,
        batch: int,
    ) -> None:
        self._sessions = sessions
        self.embedder = embedder
        self._model = model
        self._batch = batch
        self._smallest = max(1, batch // SMALLEST_PART)
        self._resumes_at = 0.0
        self._told: str | None = None

    @property
    def obstacle(self) -> str | None:
        """Why nothing was embedded when it was last tried; None where all went well."""
        return self._told

    async def fill(self) -> None:
        """A worker's duty: embeds until nothing waits. What stands in the way is logged once, and tried again later."""
        if time.monotonic() < self._resumes_at:
            return
        try:
            async with aclosing(self.filling(watched=False)) as steps:
                async for _ in steps:
                    pass
            self._told = None
        except CannotEmbed as reason:
            self._resumes_at = time.monotonic() + PAUSE
            if reason.message != self._told:
                log.warning("embeddings.waiting", reason=reason.message)
            self._told = reason.message

    def resume(self) -> None:
        """Leaves the service alone no longer: the next `fill` tries it."""
        self._resumes_at = 0.0

    async def filling(self, *, watched: bool = True) -> AsyncGenerator[Step, None]:
        """Embeds until nothing waits, a step for each batch; only those that are `watched` are counted.

        The first step and the last are exact, between them texts are added up. Raises `CannotEmbed`.
        """
        model = await self._prepared()
        while await self._swept(model):
            pass
        step = await self._counted(watched=watched)
        yield step
        while claimed := await self._claimed(model):
            done = await self._embed(model, claimed)
            step = replace(step, embedded=min(step.of, step.embedded + done))
            yield step
        await self._settled(model)
        yield await self._counted(watched=watched)

    async def tidy(self) -> None:
        """Removes vectors of texts that are gone, and models that have been replaced."""
        async with self._sessions.begin() as session:
            await embedding.drop_retired(session)
        async with self._sessions.begin() as session:
            await vectors.forget_orphans(session)

    async def _prepared(self) -> Model:
        async with self._sessions.begin() as session:
            why = await vectors.obstacle(session)
            if why is not None:
                raise CannotEmbed(f"Embeddings cannot be kept, search stays lexical: {why}")
            await embedding.drop_lost(session)
            return await embedding.want_model(session, self._model)

    async def _swept(self, model: Model) -> bool:
        async with self._sessions.begin() as session:
            return await embedding.sweep(session, model)

    async def _claimed(self, model: Model) -> dict[bytes, str] | None:
        """Some texts; of those that wait, the first may all be gone, with a dataset that was purged."""
        claimed: dict[bytes, str] | None = {}
        while claimed == {}:
            async with self._sessions.begin() as session:
                claimed = await embedding.claim(session, model.id, many=self._batch)
        return claimed

    async def _settled(self, model: Model) -> None:
        async with self._sessions.begin() as session:
            if await embedding.settle(session, model.id):
                log.info("embeddings.model_answers", model=model.name)

    async def _counted(self, *, watched: bool) -> Step:
        if not watched:
            return Step()
        async with self._sessions() as session:
            known = await embedding.every_progress(session)
        return Step(*(sum(getattr(one, name) for one in known) for name in ("embedded", "refused", "of")))

    async def _embed(self, model: Model, claimed: Mapping[bytes, str]) -> int:
        """Embeds and keeps what was claimed; gives back what fails. Raises `CannotEmbed`."""
        try:
            found = await self._vectors(model, claimed)
            async with self._sessions.begin() as session:
                for dimension in sorted({len(vector) for vector in found.values()}):
                    await embedding.note_dimension(session, model.id, dimension)
                if found:
                    await vectors.store(session, model.id, found)
        except (ConnectorError, embedding.UnfitVectors) as error:
            if isinstance(error, TooSlow):
                # A big model on a small machine: what is too much for a minute now would be so for ever.
                self._batch = max(self._smallest, self._batch // 2)
            await self._give_back(model, claimed)
            raise CannotEmbed(_in_words(error)) from error
        except BaseException:
            # A worker that is asked to end hands over at once; what cannot be given back is free in three minutes.
            with suppress(SQLAlchemyError, OSError):
                await self._give_back(model, claimed)
            raise
        return len(found)

    async def _give_back(self, model: Model, claimed: Mapping[bytes, str]) -> None:
        async with self._sessions.begin() as session:
            await embedding.give_back(session, model.id, list(claimed))

    async def _vectors(self, model: Model, claimed: Mapping[bytes, str]) -> dict[bytes, Vector]:
        """Vectors by hash. A batch that is refused is halved until the text is found that the service does not take."""
        hashes = list(claimed)
        try:
            found = await self.embedder.embed([claimed[one] for one in hashes], model=model.name)
        except TextRefused as refused:
            if len(hashes) == 1:
                return await self._cut_to_fit(model, hashes[0], claimed[hashes[0]], refused)
            middle = len(hashes) // 2
            halves = [{one: claimed[one] for one in half} for half in (hashes[:middle], hashes[middle:])]
            return {**await self._vectors(model, halves[0]), **await self._vectors(model, halves[1])}
        return dict(zip(hashes, found, strict=True))

    async def _cut_to_fit(self, model: Model, hash_: bytes, words: str, refused: TextRefused) -> dict[bytes, Vector]:
        while len(words) > SHORTEST:
            words = words[: max(SHORTEST, len(words) // 2)]
            try:
                return {hash_: (await self.embedder.embed([words], model=model.name))[0]}
            except TextRefused:
                continue
        # Is it this text, or does the service refuse everything?
        try:
            await self.embedder.embed([_PROBE], model=model.name)
        except TextRefused as all_refused:
            raise Refused(all_refused.message, all_refused.remedy) from refused
        async with self._sessions.begin() as session:
            await embedding.set_aside(session, model.id, hash_, why=refused.message)
        return {}


def _in_words(error: ConnectorError | embedding.UnfitVectors) -> str:
    if isinstance(error, embedding.UnfitVectors):
        return str(error)
    return f"{error.message}. {error.remedy}" if error.remedy else error.message
