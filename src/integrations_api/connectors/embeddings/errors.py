"""What an embedding service may refuse besides everything: a single text."""

from integrations_api.connectors.errors import Refused, Retryable


class TextRefused(Refused):
    """The service does not take these texts (too long, too many), though it may take others."""


class TooSlow(Retryable):
    """The service did not answer in time; fewer texts may pass."""
