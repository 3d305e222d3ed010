"""Growing waits between sign-ins that fail, the same for every replica, for the counters are rows.

An attempt is counted before the password is looked at and taken back if it was right: so a hundred attempts at the
same moment are counted one after the other, and while a wait lasts nobody learns whether a password was right.
Why it is made like this: docs/decisions/sign-in-waits.md.
"""

import hashlib
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.models import KnownAddress, SignInCounter, User
from integrations_api.api.current import current_request
from integrations_api.db.engine import Sessions
from integrations_api.errors import TooManyRequests

FREE = {"account": 5, "address": 20, "pair": 10}
"""Failures that cost no wait, by the kind of counter. Behind one address there may be a whole office."""
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=24)
"""Without a failure for so long, a counter begins anew."""
KNOWN_FOR = timedelta(days=90)
_MOST_ADDRESSES = 20


class Charge(Struct, frozen=True):
    """An attempt that was counted: under which keys, and until when each of them waits because of it."""

    address: str | None
    waits: dict[str, datetime | None]
    wait: timedelta
    """How long the next attempt has to wait if this one fails."""


def wait_after(failures: int, *, free: int, first: timedelta = timedelta(seconds=1)) -> timedelta:
    """Nothing for the `free` failures, then `first`, doubled by each further one, up to `LONGEST_WAIT`."""
    if failures <= free:
        return timedelta(0)
    doublings: int = min(failures - free - 1, 20)
    return min(first * (1 << doublings), LONGEST_WAIT)


class SignInThrottle:
    """Counts attempts by account and by address; an account from an address it is known at counts by itself."""

    def __init__(self, *, sessions: Sessions, first_wait: timedelta = timedelta(seconds=1)) -> None:
        self._sessions = sessions
        self.first_wait = first_wait

    async def charge(self, email: str) -> Charge:
        """Counts an attempt on a normal e-mail from the current request's address, as if it had failed.

        Raises `TooManyRequests` while a wait lasts; such an attempt is not counted.
        """
        address = network_of_request()
        async with self._sessions.begin() as session:
            keys = await _keys(session, email, address)
            now = await _now(session)
            counters = await _locked(session, keys, now)
            _refuse_while_waiting(counters, now)
            for counter in counters:
                _count(counter, now, first=self.first_wait)
            waits = {counter.key: counter.blocked_until for counter in counters}
        return Charge(address=address, waits=waits, wait=max(_rest(until, now) for until in waits.values()))

    async def forgive(self, charge: Charge, user_id: UUID) -> None:
        """Takes the attempt back, for it was right, and knows the address from now on.

        Failures before it stay counted: with an account of one's own nobody cleans the counter of his address.
        """
        async with self._sessions.begin() as session:
            now = await _now(session)
            for counter in await _locked(session, list(charge.waits), now):
                if counter.key.startswith("pair:"):
                    counter.failures, counter.blocked_until = 0, None
                    continue
                counter.failures = max(counter.failures - 1, 0)
                if counter.blocked_until == charge.waits[counter.key]:
                    counter.blocked_until = None
            if charge.address is not None:
                await _know(session, user_id, charge.address, now)

    async def know_address(self, user_id: UUID) -> None:
        """Knows the current request's address as the user's: he has proved himself by a one-time link."""
        address = network_of_request()
        if address is not None:
            async with self._sessions.begin() as session:
                await _know(session, user_id, address, await _now(session))

    async def prune(self) -> None:
        """Forgets counters and addresses that count for nothing any more."""
        async with self._sessions.begin() as session:
            now = await _now(session)
            # Who signs in holds his counters in an order of his own: nobody's are waited for.
            old = select(SignInCounter.key).where(SignInCounter.last_at < now - FORGOTTEN_AFTER)
            old = old.with_for_update(skip_locked=True)
            await session.execute(delete(SignInCounter).where(SignInCounter.key.in_(old)))
            await session.execute(delete(KnownAddress).where(KnownAddress.seen_at < now - KNOWN_FOR))


def network_of_request() -> str | None:
    """Where the current request comes from; of an IPv6 address the /64, for one customer has all of that."""
    request = current_request()
    if request is None or request.address is None:
        return None
    try:
        address = ip_address(request.address)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return str(IPv6Network((address, 64), strict=False)) if isinstance(address, IPv6Address) else str(address)


async def _keys(session: AsyncSession, email: str, address: str | None) -> list[str]:
    if address is None:
        return [_key("account", email)]
    known = (
        select(KnownAddress.seen_at)
        .join(User, User.id == KnownAddress.user_id)
        .where(User.email == email, KnownAddress.address == address)
        .where(KnownAddress.seen_at > func.clock_timestamp() - KNOWN_FOR)
    )
    if await session.scalar(known) is not None:
        return [_key("pair", f"{email}\0{address}")]
    return [_key("account", email), _key("address", address)]


def _key(kind: str, what: str) -> str:
    return f"{kind}:{hashlib.sha256(what.encode()).hexdigest()[:32]}"


async def _now(session: AsyncSession) -> datetime:
    # The database's clock, for those of the replicas differ.
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def _locked(session: AsyncSession, keys: list[str], now: datetime) -> list[SignInCounter]:
    """The counters, made where they are missing, locked in one order for all.

    By one statement: between two, one that is a day old could be forgotten.
    """
    fresh = [{"key": key, "failures": 0, "last_at": now} for key in sorted(keys)]
    made = insert(SignInCounter).values(fresh)
    made = made.on_conflict_do_update(index_elements=["key"], set_={"failures": SignInCounter.failures})
    return list(await session.scalars(made.returning(SignInCounter)))


def _refuse_while_waiting(counters: list[SignInCounter], now: datetime) -> None:
    wait = max(_rest(counter.blocked_until, now) for counter in counters)
    if wait:
        raise TooManyRequests("Too many attempts", retry_after=ceil(wait.total_seconds()))


def _count(counter: SignInCounter, now: datetime, *, first: timedelta) -> None:
    if counter.last_at < now - FORGOTTEN_AFTER:
        counter.failures = 0
    counter.failures += 1
    counter.last_at = now
    wait = wait_after(counter.failures, free=FREE[counter.key.partition(":")[0]], first=first)
    counter.blocked_until = now + wait if wait else None


def _rest(until: datetime | None, now: datetime) -> timedelta:
    return max(until - now, timedelta(0)) if until is not None else timedelta(0)


async def _know(session: AsyncSession, user_id: UUID, address: str, now: datetime) -> None:
    row = insert(KnownAddress).values(user_id=user_id, address=address, seen_at=now)
    await session.execute(row.on_conflict_do_update(index_elements=["user_id", "address"], set_={"seen_at": now}))
    newest = select(KnownAddress.address).where(KnownAddress.user_id == user_id)
    newest = newest.order_by(KnownAddress.seen_at.desc()).limit(_MOST_ADDRESSES)
    await session.execute(
        delete(KnownAddress).where(KnownAddress.user_id == user_id, KnownAddress.address.not_in(newest))
    )
