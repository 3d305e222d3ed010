"""What a draft makes of an integration's row, new or edited. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from integrations_api.db.direct import Row
from integrations_api.integrations.configs import SplitConfig, changed_keys
from integrations_api.integrations.connection import needs_connection
from integrations_api.integrations.drafts import Draft, service_of
from integrations_api.integrations.last_synced import SyncPosition, after_edit, at_creation


def new_values(draft: Draft, taken: SplitConfig, *, now: datetime, creator: UUID | None) -> dict[str, Any]:
    """The columns of a new integration."""
    position = at_creation(draft.last_synced)
    return {
        "id": uuid4(),
        "service_name": draft.service_name,
        "auth_type": draft.auth_type,
        "config": taken.public,
        "is_active": draft.is_active,
        "user_id": creator,
        "config_revision": 1,
        "created_at": now,
        "updated_at": now,
        "fingerprint": draft.fingerprint,
        "watermark": position.watermark,
        "shown_last_synced": position.shown,
        "needs_full": position.needs_full,
        "needs_connection": needs_connection(draft),
    }


def edited_values(before: Row, draft: Draft, taken: SplitConfig, *, now: datetime) -> dict[str, Any]:
    """The columns that an edit writes; its revision is one more."""
    position = after_edit(
        draft.last_synced,
        before=SyncPosition(before.watermark, before.shown_last_synced, before.needs_full),
        last_synced_at=before.last_synced_at,
        source_changed=draft.fingerprint != before.fingerprint,
    )
    return {
        "service_name": draft.service_name,
        "auth_type": draft.auth_type,
        "config": taken.public,
        "is_active": draft.is_active,
        "config_revision": before.config_revision + 1,
        "updated_at": now,
        "fingerprint": draft.fingerprint,
        "watermark": position.watermark,
        "shown_last_synced": position.shown,
        "needs_full": position.needs_full,
    }


def is_mere_rename(before: Row, taken: SplitConfig) -> bool:
    """Whether a service nobody knew gets a known one's name, its config as it was."""
    return service_of(before.service_name) is None and taken.public == before.config


def changes_of(before: Row, draft: Draft, taken: SplitConfig) -> dict[str, Sequence[str]]:
    """Which fields and config keys an edit changes; never to what."""
    fields = ("service_name", "auth_type", "is_active")
    return {
        "changed": [name for name in fields if getattr(before, name) != getattr(draft, name)],
        "config_keys": changed_keys(before.config, taken),
    }
