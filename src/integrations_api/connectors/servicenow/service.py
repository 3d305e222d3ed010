"""ServiceNow, as the registry lists it."""

from typing import Any

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import ConnectorContext, JsonObject
from integrations_api.connectors.retry import Time
from integrations_api.connectors.servicenow.auth import auth_of
from integrations_api.connectors.servicenow.config import CONFIGS, ServiceNowConfig, read_choice
from integrations_api.connectors.servicenow.connector import ServiceNowConnector
from integrations_api.connectors.servicenow.mapping import MAPPING_VERSION
from integrations_api.connectors.servicenow.query import clean_filter
from integrations_api.connectors.services import (
    AuthType,
    MissingConfiguration,
    ServiceDescription,
    UnsupportedService,
)
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import InvalidInput


class ServiceNow(ServiceDescription):
    """Its ways of signing in, what tells two sources apart, and how it is opened."""

    def __init__(self) -> None:
        auth_types = [AuthType(name, model) for name, model in CONFIGS.items()]
        super().__init__(name="ServiceNow", noun="incidents", auth_types=auth_types, mapping_version=MAPPING_VERSION)

    def source_facts(self, config: JsonObject) -> list[str]:
        fields = config.get("fields") or ()
        return [
            str(config.get("table") or "incident"),
            clean_filter(str(config.get("filter") or "")),
            ",".join(sorted(_as_fact(field) for field in fields)) if isinstance(fields, list | tuple) else "",
        ]

    def open(
        self,
        auth_type: str,
        config: JsonObject,
        context: ConnectorContext,
        policy: EgressPolicy,
        time: Time | None = None,
    ) -> Connector:
        if any(not config.get(key) for key in self.required_keys(auth_type)):
            raise MissingConfiguration(self.missing_message(auth_type))
        if problems := self.validate(auth_type, config):
            raise InvalidInput.of(problems)
        read = CONFIGS[auth_type].model_validate(dict(config))
        assert isinstance(read, ServiceNowConfig)
        auth = auth_of(read)
        if auth is None:
            raise UnsupportedService(f"Signing in to ServiceNow by {auth_type} is not supported yet")
        http = open_client(policy, read.base_url, auth=auth)
        return ServiceNowConnector(http=http, config=read, context=context, time=time)


def _as_fact(field: Any) -> str:
    """A column as a fingerprint names it, also one of a config that is not valid."""
    try:
        choice = read_choice(field)
    except ValueError:
        return str(field)
    return choice.name if choice.to == "attributes" else f"{choice.name}>{choice.to}"
