"""What a ranking is made of."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Ranked:
    """An incident that was found, the version in which it was read, its score, and whether it has been resolved."""

    id: UUID
    version: int
    score: float
    is_resolved: bool = False
