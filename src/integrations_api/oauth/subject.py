"""Whose tokens, what they are for, and how they are asked for."""

from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

from integrations_api.connectors.errors import Refused
from integrations_api.egress.guard import EgressPolicy
from integrations_api.integrations.applications import Application, application_of
from integrations_api.integrations.for_sync import IntegrationForSync

if TYPE_CHECKING:
    from integrations_api.connectors.token_requests import TokenRequests


class Subject(Struct, frozen=True):
    """An integration that signs in by OAuth, with the config it had when it was read."""

    integration_id: UUID
    application: Application
    requests: "TokenRequests"
    is_tried: bool = False
    """Whether the config is that of an edit which is not stored: the tokens are those of what is."""

    def needs_connection(self, why: str) -> Refused:
        """The error of a sync that somebody has to sign in for first."""
        remedy = f"POST /integrations/oauth/{self.integration_id}/authorize gives the address to sign in at"
        return Refused(why, remedy)


def subject_of(integration: IntegrationForSync, *, policy: EgressPolicy) -> Subject | None:
    """None for an integration that does not sign in by OAuth."""
    application = application_of(integration.service_name, integration.auth_type, integration.config)
    if application is None:
        return None
    from integrations_api.connectors.token_requests import TokenRequests

    requests = TokenRequests(server=application.server, config=integration.config, policy=policy)
    return Subject(
        integration_id=integration.id, application=application, requests=requests, is_tried=integration.is_tried
    )
