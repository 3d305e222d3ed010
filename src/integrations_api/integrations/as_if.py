"""An integration that is only tried: as it would be stored, or as an edit would make it. Pure."""

from dataclasses import replace
from datetime import datetime

from integrations_api.errors import InvalidInput
from integrations_api.integrations.configs import reassemble, split, split_edit
from integrations_api.integrations.connection import keeps_tokens
from integrations_api.integrations.drafts import Draft, draft_of, service_of
from integrations_api.integrations.edits import new_values
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.integrations.models import Integration
from integrations_api.integrations.schemas import IntegrationIn


def as_if_stored(sent: IntegrationIn, *, now: datetime) -> IntegrationForSync:
    """A new one. Raises `InvalidInput`; a masked secret is nobody's."""
    draft = _complete(sent, now)
    taken = split(draft.config, secret_names=draft.secret_names)
    values = new_values(draft, taken, now=now, creator=None) | {"config_revision": 0}
    return IntegrationForSync.of(Integration(**values), taken.secrets)


def as_if_edited(stored: IntegrationForSync, sent: IntegrationIn, *, now: datetime) -> IntegrationForSync:
    """A stored one under the config that is sent, in which a masked secret is the stored one.

    It has the stored tokens where somebody signed in for them and the edit would keep them; others are got by the
    config. Raises `InvalidInput`, also where a stored secret would go to another origin.
    """
    draft = _complete(sent, now)
    taken = split_edit(
        draft.config,
        secret_names=draft.secret_names,
        stored=stored.secrets.keys(),
        before=stored.public_config,
        same_service=draft.service == service_of(stored.service_name),
    )
    secrets = taken.secrets | {path: stored.secrets[path] for path in taken.kept}
    return replace(
        stored,
        service_name=draft.service_name,
        auth_type=draft.auth_type,
        config_revision=stored.config_revision if keeps_tokens(stored, draft) else 0,
        public_config=taken.public,
        secrets=secrets,
        config=reassemble(taken.public, secrets),
        fingerprint=draft.fingerprint,
        is_tried=True,
    )


def _complete(sent: IntegrationIn, now: datetime) -> Draft:
    draft = draft_of(sent, now=now)
    if draft.missing:
        raise InvalidInput.of(draft.missing)
    return draft
