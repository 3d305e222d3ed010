"""What every look of the doctor has in common: where it looks, how long it may take, what becomes of trouble."""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.connectors.records import Check
from integrations_api.db.engine import Sessions, cause_of
from integrations_api.db.lost import DATABASE_TROUBLE
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import ApplicationError
from integrations_api.settings import Settings

PATIENCE = 10.0
"""Seconds for one look."""


class Place(Struct, frozen=True):
    """Where is looked: a database that is only read, and what the settings say."""

    engine: AsyncEngine
    sessions: Sessions
    settings: Settings
    policy: EgressPolicy


Look = Callable[[Place], Awaitable[Check]]


async def carefully(name: str, look: Look, place: Place) -> Check:
    """The check, failed in words when the look was not possible or took too long."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await look(place)
    except ApplicationError as error:
        return Check(name, "failed", error.message)
    except TimeoutError:
        seen = f"no answer within {PATIENCE:.0f} s"
        return Check(name, "failed", seen, "Look after PostgreSQL and the network to it")
    except DATABASE_TROUBLE as error:
        return Check(name, "failed", *in_words(cause_of(error)))


def in_words(reason: BaseException) -> tuple[str, str]:
    """What PostgreSQL or the system said, on one line, and what helps. Neither of them knows a password to say."""
    said = " ".join(str(reason).split()) or type(reason).__name__
    if isinstance(reason, ConnectionRefusedError):
        said = f"Nobody listens there: {said}"
    return said, _REMEDIES.get(type(reason).__name__, "Start PostgreSQL, or correct DATABASE_URL")


_CREDENTIALS = "Correct user and password in DATABASE_URL; there @ : / of a password are written as %40 %3A %2F"
LET_IT = "Let the database's owner grant this user what it lacks"
AS_WHO_SERVES = "Run this as the user who runs `serve`"
_REMEDIES = {
    "InvalidPasswordError": _CREDENTIALS,
    "InvalidAuthorizationSpecificationError": _CREDENTIALS,
    "InvalidCatalogNameError": "Create the database, or correct its name in DATABASE_URL",
    "TooManyConnectionsError": "Raise max_connections of PostgreSQL, or lower DATABASE_POOL_SIZE of all processes",
    "CannotConnectNowError": "Wait until PostgreSQL has started or recovered",
    "InsufficientPrivilegeError": LET_IT,
}


def not_looked_at(name: str, why: str) -> Check:
    """The check for what could not be asked."""
    return Check(name, "warning", f"not looked at, for {why}")
