"""What a ranking is made of."""

from uuid import UUID

from msgspec import Struct


class Ranked(Struct, frozen=True):
    """An incident that was found, the version in which it was read, its score, and whether it has been resolved."""

    id: UUID
    version: int
    score: float
    is_resolved: bool = False
