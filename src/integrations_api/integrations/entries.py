"""What the audit is told of integrations, as changes that go with what they tell of."""

from typing import Any
from uuid import UUID

from integrations_api.access.principal import Principal
from integrations_api.audit import service as audit
from integrations_api.db.changes import Change


def entry(verb: str, integration_id: UUID, service_name: str, principal: Principal, **details: Any) -> Change:
    """What somebody did to an integration."""
    return audit.entry(
        action=f"integration.{verb}",
        object_type="integration",
        object_id=integration_id,
        principal=principal,
        details={"service_name": service_name, **details},
    )


def lost_run(integration_id: UUID, run_id: UUID, principal: Principal) -> Change:
    """The end of a run that was going on, and whose row is gone: no worker will find it to write it down."""
    return audit.entry(
        action="sync.end",
        object_type="integration",
        object_id=integration_id,
        principal=principal,
        details={"run_id": str(run_id), "state": "cancelled", "purged": True},
    )
