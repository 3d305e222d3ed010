"""What a sync is given of an integration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class IntegrationForSync:
    """An integration as it was when its sync asked; `config` holds the secrets and never shows in a repr."""

    id: UUID
    service_name: str
    auth_type: str
    is_active: bool
    config_revision: int
    public_config: Mapping[str, Any]
    """Secrets as ********, without `lastSynced`."""
    config: Mapping[str, Any] = field(repr=False)
    """The whole config for a connector, without `lastSynced`."""
    fingerprint: str | None
    """Of the source this config points to; None for a service there is no connector for."""
    watermark: datetime | None
    needs_full: bool
    last_synced_at: datetime | None

    @property
    def is_stored(self) -> bool:
        """Whether it is more than a config that is only tried."""
        return self.config_revision > 0
