"""What search is told of an embedding service: a vector, and who makes it of a text."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

Vector = tuple[float, ...]
"""Of length 1 (or of zeros, where a text says nothing), so that the inner product of two is their likeness."""


class Embedder(Protocol):
    """What turns texts into vectors."""

    async def embed(self, texts: Sequence[str], *, model: str) -> list[Vector]:
        """One vector for each text, in order; what may pass is tried again for a minute.

        Raises `TextRefused` for texts that the service does not take, else another `ConnectorError`.
        """
        ...

    async def embed_at_once(self, text: str, *, model: str, within: timedelta) -> Vector:
        """The vector of a text that somebody waits for: one try, bounded. Raises `ConnectorError`."""
        ...
