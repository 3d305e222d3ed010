"""From an integration to its open connector, and the words for what stands in the way."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from integrations_api.connectors.protocol import Connector
from integrations_api.connectors.records import OnWait
from integrations_api.integrations.for_sync import IntegrationForSync


class SourceName(Struct, frozen=True):
    """How messages call a source and its records."""

    name: str
    noun: str


class Sources(Protocol):
    """What the executor asks; tests put a source in memory here."""

    def describe(self, integration: IntegrationForSync) -> SourceName:
        """Names for messages; of a service nobody knows, its own name."""
        ...

    def mapping_version(self, service_name: str) -> int:
        """Raised by a release that makes other documents of the same records of this service."""
        ...

    def check(self, integration: IntegrationForSync) -> None:
        """Raises `InvalidInput` with the contract's words when the integration cannot be synced as it is."""
        ...

    def open(
        self, integration: IntegrationForSync, *, on_wait: OnWait, retry_seconds: float | None = None
    ) -> AbstractAsyncContextManager[Connector]:
        """The connector, opened by `async with`; it retries a request as long as the settings say, or less."""
        ...
