"""Choices that depend on nothing but a seed and a name, so that every run and every machine makes the same ones."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from struct import Struct
from typing import TypeVar

T = TypeVar("T")
SIXTEEN = Struct("<16I")


def hex_id_for(*parts: object) -> str:
    """32 hex digits, always the same for the same parts, in an order that has nothing to do with theirs."""
    return blake2b(":".join(map(str, parts)).encode(), digest_size=16).hexdigest()


class Dice:
    """A stream of small choices drawn from hashes: several times cheaper than seeding a generator per incident."""

    __slots__ = ("_name", "_numbers", "_round")

    def __init__(self, name: str) -> None:
        self._name = name
        self._round = 0
        self._numbers: Iterator[int] = iter(())

    def below(self, bound: int) -> int:
        """An integer from 0 to bound - 1."""
        for number in self._numbers:
            return number % bound
        self._round += 1
        self._numbers = iter(SIXTEEN.unpack(blake2b(f"{self._name}/{self._round}".encode()).digest()))
        return next(self._numbers) % bound

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def percent(self, chance: int) -> bool:
        return self.below(100) < chance
