"""From an integration to its open connector, and the words for what stands in the way."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, OnWait
from integrations_api.connectors.registry import find_service
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import InvalidInput
from integrations_api.integrations.service import IntegrationForSync


@dataclass(frozen=True, slots=True)
class SourceName:
    """How messages call a source and its records."""

    name: str
    noun: str


class Sources(Protocol):
    """What the executor asks; tests put a source in memory here."""

    def describe(self, integration: IntegrationForSync) -> SourceName:
        """Names for messages; of a service nobody knows, its own name."""
        ...

    def check(self, integration: IntegrationForSync) -> None:
        """Raises `InvalidInput` with the contract's words when the integration cannot be synced as it is."""
        ...

    def open(self, integration: IntegrationForSync, *, on_wait: OnWait) -> AbstractAsyncContextManager[Connector]:
        """The connector, opened by `async with`."""
        ...


class RegisteredSources:
    """The services of the connector registry, reached through the egress guard."""

    def __init__(self, *, context: ConnectorContext, policy: EgressPolicy) -> None:
        self._context = context
        self._policy = policy

    def describe(self, integration: IntegrationForSync) -> SourceName:
        service = find_service(integration.service_name)
        if service is None:
            return SourceName(name=integration.service_name, noun="incidents")
        return SourceName(name=service.name, noun=service.noun)

    def check(self, integration: IntegrationForSync) -> None:
        service = find_service(integration.service_name)
        if service is None:
            raise InvalidInput(f"Synchronizing {integration.service_name} is not supported")
        required = service.required_keys(integration.auth_type)
        if any(not integration.config.get(key) for key in required):
            raise InvalidInput(f"Missing {service.name} configuration ({', '.join(required)})")

    def open(self, integration: IntegrationForSync, *, on_wait: OnWait) -> AbstractAsyncContextManager[Connector]:
        service = find_service(integration.service_name)
        assert service is not None
        context = replace(self._context, on_wait=on_wait)
        return service.open(integration.auth_type, integration.config, context, self._policy)
