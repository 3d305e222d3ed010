"""Choices that depend on nothing but a seed and a name, so that every run and every machine makes the same ones."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")


def sys_id_for(*parts: object) -> str:
    """32 hex digits, always the same for the same parts, in an order that has nothing to do with theirs."""
    return blake2b(":".join(map(str, parts)).encode(), digest_size=16).hexdigest()


class Dice:
    """A stream of small choices drawn from one hash: several times cheaper than seeding a generator per incident."""

    __slots__ = ("_name", "_pool", "_round")

    def __init__(self, name: str) -> None:
        self._name = name
        self._round = 0
        self._pool = int.from_bytes(blake2b(name.encode()).digest(), "big")

    def below(self, bound: int) -> int:
        """An integer from 0 to bound - 1."""
        if self._pool.bit_length() < 48:
            self._round += 1
            self._pool = int.from_bytes(blake2b(f"{self._name}/{self._round}".encode()).digest(), "big")
        self._pool, rest = divmod(self._pool, bound)
        return rest

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance
