"""Connector failures, grouped by cure: the class is the retry policy.

`message` completes the sentence "Failed to fetch incidents from ServiceNow: …"; `remedy` says what an
administrator can do. Neither ever holds a secret, a URL's query or a remote body.
"""


class ConnectorError(Exception):
    """Base; `remedy` may be None where trying again is all there is."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class Retryable(ConnectorError):
    """May pass by itself: time-outs, 5xx, a reset connection. `retry_after` in seconds where the source said so."""

    def __init__(self, message: str, remedy: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, remedy)
        self.retry_after = retry_after


class Unreachable(Retryable):
    """No connection was made: an outage, or a URL that leads nowhere."""


class RateLimited(Retryable):
    """The source asked to wait."""


class PageTooLarge(Retryable):
    """The answer broke off or ran out of its quota; a smaller page may pass."""


class Refused(ConnectorError):
    """Trying again does not help: credentials, roles, a wrong URL, an answer that breaks the query's promise."""


class RecordRejected(Exception):
    """One record cannot be mapped; the rest goes on. The message is its reason, `number` what people know it by."""

    def __init__(self, reason: str, *, number: str | None = None) -> None:
        super().__init__(reason)
        self.number = number
