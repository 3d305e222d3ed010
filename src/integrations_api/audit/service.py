"""Writing the record of who did what."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.api.context import current_request
from integrations_api.audit.models import AuditEntry
from integrations_api.vault.mask import masked

WORKER = "worker"
"""The actor of what workers do by themselves."""


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
    request = current_request()
    session.add(
        AuditEntry(
            actor_id=principal.user_id if principal else actor_id,
            actor=principal.email if principal else actor,
            credential=principal.credential if principal else None,
            action=action,
            object_type=object_type,
            object_id=None if object_id is None else str(object_id),
            details=masked(dict(details or {})),
            request_id=request.request_id if request else None,
            address=request.address if request else None,
        )
    )
    await session.flush()
