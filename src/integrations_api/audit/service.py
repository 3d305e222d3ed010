"""Writing the record of who did what."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.api.current import current_request
from integrations_api.audit.models import AuditEntry
from integrations_api.db.changes import Change
from integrations_api.vault.mask import masked

WORKER = "worker"
"""The actor of what workers do by themselves."""
COMMAND_LINE = "command line"
"""The actor of what an operator does on the machine itself."""


class Who(Protocol):
    """The caller, as far as the record needs him; `access` has him as `Principal`."""

    @property
    def user_id(self) -> UUID: ...

    @property
    def email(self) -> str: ...

    @property
    def credential(self) -> str: ...


async def record(
    session: AsyncSession,
    *,
    action: str,
    object_type: str,
    object_id: UUID | str | None,
    principal: Who | None = None,
    actor: str | None = None,
    actor_id: UUID | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Adds a row in the caller's transaction: both happen, or neither.

    Either a `principal`, or the name of the process or person as `actor` (`worker`, `command line`). Values in
    `details` under a key that sounds secret are masked; do not rely on it, leave them out.
    """
    if (principal is None) == (actor is None):
        raise ValueError("an audit entry has either a principal or an actor")
    entry = _entry(action, object_type, object_id, details)
    if principal is not None:
        entry |= _by(principal)
    else:
        entry |= {"actor": actor, "actor_id": actor_id}
    session.add(AuditEntry(**entry))
    await session.flush()


def entry(
    *,
    action: str,
    object_type: str,
    object_id: UUID | str | None,
    principal: Who,
    details: Mapping[str, Any] | None = None,
) -> Change:
    """`record` for those who work without a session: a row to be added with what it tells of."""
    values = _entry(action, object_type, object_id, details) | _by(principal)
    values["details"] = orjson.dumps(values["details"]).decode()
    return Change(_INSERT, [values[name] for name in _INSERTED])


_INSERTED = (
    "actor_id", "actor", "credential", "action", "object_type", "object_id", "details", "request_id", "address",
)  # fmt: skip
_INSERT = f"INSERT INTO audit_entries ({', '.join(_INSERTED)}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"  # nosec B608 # noqa: S608 - constants


def _by(principal: Who) -> dict[str, Any]:
    return {"actor_id": principal.user_id, "actor": principal.email, "credential": principal.credential}


def _entry(
    action: str, object_type: str, object_id: UUID | str | None, details: Mapping[str, Any] | None
) -> dict[str, Any]:
    request = current_request()
    return {
        "action": action,
        "object_type": object_type,
        "object_id": None if object_id is None else str(object_id),
        "details": masked(dict(details or {})),
        "request_id": request.request_id if request else None,
        "address": request.address if request else None,
    }
