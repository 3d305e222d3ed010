"""The vector of a query: asked of the embedding service while somebody waits, so bounded, and left alone when dead."""

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from integrations_api.connectors.embeddings.embedder import Embedder, Vector
from integrations_api.connectors.embeddings.errors import TextRefused, TooSlow
from integrations_api.connectors.errors import ConnectorError, Refused
from integrations_api.knowledge.embedding import LONGEST_TEXT
from integrations_api.logs import get_logger

log = get_logger(__name__)

WITHIN = timedelta(milliseconds=800)
"""The longest a search waits for its vector."""
LEFT_ALONE = 15.0
"""Seconds after a failure in which no search waits; then one tries, while the others go on without. Being slow is none
while others are answered: the slowest of many answers says nothing of the next."""
_REMEMBERED = 500


class Breaker(Struct):
    """Open after a failure: until a while has passed, and then for all but one who tries."""

    monotonic: Callable[[], float]
    opens_until: float = 0.0
    is_tried: bool = False
    answered_at: float = 0.0

    def admits(self) -> bool:
        """Whether this one may ask; it must then say `succeeded`, `failed` or `given_up`."""
        if self.opens_until == 0.0:
            return True
        if self.is_tried or self.monotonic() < self.opens_until:
            return False
        self.is_tried = True
        return True

    def succeeded(self) -> None:
        """All may ask again."""
        self.opens_until, self.is_tried, self.answered_at = 0.0, False, self.monotonic()

    def given_up(self) -> None:
        """The one who asked has gone: another may try."""
        self.is_tried = False

    def failed(self) -> None:
        """Nobody asks for a while."""
        self.opens_until, self.is_tried = self.monotonic() + LEFT_ALONE, False

    def was_slow(self, asked_at: float) -> None:
        """The same, unless others have been answered since this one asked."""
        if self.answered_at <= asked_at:
            self.failed()


class QueryEmbedder:
    """Turns queries into vectors, where that can be had in time. Remembers the latest, so that pages cost nothing."""

    def __init__(self, *, embedder: Embedder, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._embedder = embedder
        self._monotonic = monotonic
        self._breaker = Breaker(monotonic)
        self._remembered: OrderedDict[tuple[str, int | None, str], Vector] = OrderedDict()

    async def vector_of(self, text: str, *, model: str, dimension: int | None = None) -> Vector | None:
        """The vector of a text by a model; None where the service does not give one of so many numbers in time."""
        key = (model, dimension, text[:LONGEST_TEXT])
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        if not self._breaker.admits():
            return None
        vector = await self._asked(key[2], model=model, dimension=dimension)
        if vector is not None:
            self._remembered[key] = vector
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return vector

    async def _asked(self, text: str, *, model: str, dimension: int | None) -> Vector | None:
        asked_at = self._monotonic()
        try:
            vector = await self._embedder.embed_at_once(text, model=model, within=WITHIN)
            if dimension not in (None, len(vector)):
                raise Refused(f"It gives vectors of {len(vector)} numbers, and gave those of {dimension} before")
        except TextRefused:
            self._breaker.succeeded()  # The service is well, and others may ask.
            return None
        except ConnectorError as error:
            if isinstance(error, TooSlow):
                self._breaker.was_slow(asked_at)
            else:
                self._breaker.failed()
            log.warning("embeddings.search_goes_without", model=model, reason=error.message)
            return None
        except BaseException:
            self._breaker.given_up()
            raise
        self._breaker.succeeded()
        return vector
