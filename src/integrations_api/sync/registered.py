"""The sources of the connector registry."""

import dataclasses
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from msgspec.structs import replace

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, OnWait
from integrations_api.connectors.registry import find_service, known_names
from integrations_api.connectors.retry import Time
from integrations_api.egress.guard import EgressPolicy, EgressRefused
from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.integrations.for_sync import IntegrationForSync
from integrations_api.oauth.tokens import TokenKeeper
from integrations_api.sync.slots import HostSlots
from integrations_api.sync.sources import SourceName

LARGEST_TRIED = 25_000_000
"""Bytes of an answer where somebody waits: a few records are shown, and the process that reads them serves all others.
A page with more is asked for in smaller ones; the largest record that is stored fits."""


class RegisteredSources:
    """The services of the connector registry, reached through the egress guard."""

    def __init__(
        self,
        *,
        context: ConnectorContext,
        policy: EgressPolicy,
        slots: HostSlots,
        tokens: TokenKeeper | None = None,
        time: Time | None = None,
    ) -> None:
        self._context = context
        self._policy = policy
        self._slots = slots
        self._tokens = tokens
        self._time = time

    def describe(self, integration: IntegrationForSync) -> SourceName:
        service = find_service(integration.service_name)
        if service is None:
            return SourceName(name=integration.service_name, noun="incidents")
        return SourceName(name=service.name, noun=service.noun)

    def mapping_version(self, service_name: str) -> int:
        service = find_service(service_name)
        return 1 if service is None else service.mapping_version

    def check(self, integration: IntegrationForSync) -> None:
        service = find_service(integration.service_name)
        if service is None:
            wrong = FieldProblem("service_name", f"the first word must be {known_names()}")
            raise InvalidInput(f"Synchronizing {integration.service_name} is not supported", [wrong])
        required = service.required_keys(integration.auth_type, integration.config)
        lacking = [FieldProblem(f"config.{key}", "is required") for key in required if not integration.config.get(key)]
        if lacking:
            raise InvalidInput(service.missing_message(integration.auth_type, integration.config), lacking)

    def open(
        self, integration: IntegrationForSync, *, on_wait: OnWait, retry_seconds: float | None = None
    ) -> AbstractAsyncContextManager[Connector]:
        service = find_service(integration.service_name)
        assert service is not None
        host = urlsplit(service.address(integration.config)).netloc or service.name
        tokens = self._tokens.tokens_for(integration) if self._tokens else None
        context = replace(self._context, on_wait=on_wait, slot=self._slots.of(host), tokens=tokens)
        policy = self._policy
        if retry_seconds is not None:
            context = replace(context, retry_budget_seconds=min(context.retry_budget_seconds, retry_seconds))
            most = min(policy.max_response_bytes, LARGEST_TRIED)
            policy = dataclasses.replace(policy, max_response_bytes=most)
        try:
            return service.open(integration.auth_type, integration.config, context, policy, self._time)
        except EgressRefused as refused:
            from integrations_api.connectors.http import translated

            # An address in the URL itself is refused before anything is asked; to a client it is trouble like any.
            raise translated(refused) from refused
