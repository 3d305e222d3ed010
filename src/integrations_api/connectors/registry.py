"""The services this release knows. A service is found by the first word of an integration's `service_name`."""

from integrations_api.connectors.github.service import GitHub
from integrations_api.connectors.jira.service import Jira
from integrations_api.connectors.servicenow.service import ServiceNow
from integrations_api.connectors.services import MissingConfiguration, ServiceDescription, UnsupportedService
from integrations_api.wording import one_of

__all__ = [
    "CONNECTORS",
    "MissingConfiguration",
    "ServiceDescription",
    "UnsupportedService",
    "find_service",
    "known_names",
    "services",
]

_SPEAKING = ("auth", "connector")
"""Of each service's modules, those that it imports when it is opened."""
_SERVICES: tuple[ServiceDescription, ...] = (ServiceNow(), Jira(), GitHub())
CONNECTORS = (
    "httpcore",
    "httpx",
    "integrations_api.connectors.token_requests",
    *(f"{type(service).__module__.removesuffix('service')}{part}" for service in _SERVICES for part in _SPEAKING),
)
"""Modules of what speaks to the services, what others import first: nobody needs them before the first sync, trial or
sign-in at one, and a little after a start they are imported one by one, so that none holds requests up for long."""
_BY_WORD = {service.name.lower(): service for service in _SERVICES}


def services() -> tuple[ServiceDescription, ...]:
    """Every known service, in the order they are listed."""
    return _SERVICES


def find_service(service_name: str) -> ServiceDescription | None:
    """The service by the first word of a name, in any case: "ServiceNow Production" is ServiceNow."""
    words = service_name.split(maxsplit=1)
    return _BY_WORD.get(words[0].lower()) if words else None


def known_names() -> str:
    """What a name must begin with to be one of them, to say of one that is none: a blank too many is overlooked."""
    return one_of(service.name for service in _SERVICES)
