"""Passwords: argon2id through passlib, off the event loop, a few at a time."""

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio.to_thread import run_sync
from msgspec import Struct

from integrations_api.access.common_passwords import is_common
from integrations_api.errors import FieldProblem, InvalidInput, Unavailable

if TYPE_CHECKING:
    from passlib.context import CryptContext

T = TypeVar("T")

MIN_LENGTH = 12
"""Characters."""
MAX_BYTES = 1024
"""UTF-8 bytes: a longer one would only keep the processor busy."""
_LONGEST_TYPED = 4 * MAX_BYTES
"""Characters that are brought into the common form: more than the longest password has, its letters taken apart."""
_AT_ONCE = 2
_PATIENCE = 20.0


class HashCost(Struct, frozen=True):
    """What one hash costs. The default is RFC 9106's second recommendation: 64 MiB, three passes, four lanes."""

    memory_kib: int = 65536
    passes: int = 3
    lanes: int = 4


class Passwords:
    """Hashes and verifies. Every verification does the same work, also when there is no such user."""

    def __init__(self, cost: HashCost = HashCost()) -> None:
        self._cost = cost
        self._decoy = _decoy(cost)

    @cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        """Imports what anyio has for this loop: with the first password, too."""
        return anyio.CapacityLimiter(_AT_ONCE)

    @cached_property
    def _context(self) -> "CryptContext":
        """Imports passlib: when the first password is hashed, in a thread."""
        from passlib.context import CryptContext

        return CryptContext(
            schemes=["argon2"],
            argon2__type="ID",
            argon2__memory_cost=self._cost.memory_kib,
            argon2__time_cost=self._cost.passes,
            argon2__parallelism=self._cost.lanes,
        )

    async def hash(self, password: str, *, field: str = "password") -> str:
        """The hash to store. Raises `InvalidInput`, about `field`, for what is too short, too long, or common."""
        check_new_password(password, field=field)
        return await self._in_thread(partial(self._hash, _normal(password)))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password fits the stored hash; with None (no such user) the same work, and False."""
        plain = _normal(password)
        if len(plain.encode()) > MAX_BYTES:
            plain, stored = "", None  # Never valid, and not worth hashing; but as slow as any other.
        fits = await self._in_thread(partial(self._verify, plain, stored or self._decoy))
        return fits and stored is not None

    def _verify(self, plain: str, stored: str) -> bool:
        try:
            return self._context.verify(plain, stored)
        except (ValueError, TypeError):
            # Something that is no argon2 hash got into the row: nobody signs in by it, and it costs the same work.
            self._context.verify(plain, self._decoy)
            return False

    async def renewed(self, password: str, stored: str) -> str | None:
        """A new hash of a password that fits, where the stored one was made at another cost; else None."""
        if not self._context.needs_update(stored):
            return None
        return await self._in_thread(partial(self._hash, _normal(password)))

    def _hash(self, plain: str) -> str:
        return self._context.hash(plain)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await run_sync(work, limiter=self._limiter)
        except TimeoutError:
            raise Unavailable("Too many people are signing in at the moment; try again soon") from None


def check_new_password(password: str, *, field: str = "password") -> None:
    """Raises `InvalidInput`, about `field`, for a password that is too short, too long, or common."""
    problem = _problem_of(_normal(password))
    if problem is not None:
        raise InvalidInput.of([FieldProblem(field, problem)])


def _problem_of(plain: str) -> str | None:
    if len(plain) < MIN_LENGTH:
        return f"must have at least {MIN_LENGTH} characters"
    if len(plain.encode()) > MAX_BYTES:
        return f"must have at most {MAX_BYTES} bytes"
    return "is among the first that anybody would try: take a sentence of your own" if is_common(plain) else None


def _normal(password: str) -> str:
    # The same key presses arrive composed from one system and decomposed from another (NIST SP 800-63B, 3.1.1.2).
    # What is far too long anyway stays as it is: accents are put in order in a time that grows with their square.
    return unicodedata.normalize("NFKC", password) if len(password) <= _LONGEST_TYPED else password


def _decoy(cost: HashCost) -> str:
    """A well-formed hash of nothing anybody knows, with the cost of a real one."""
    salt, digest = (base64.b64encode(secrets.token_bytes(n)).rstrip(b"=").decode() for n in (16, 32))
    return f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${digest}"
