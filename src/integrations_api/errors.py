"""The errors a caller can be told about, named for what happened.

An `ApplicationError` carries the sentence that is shown; the API turns its class into a status
(`api/error_handlers.py`), the command line into an exit code. Anything else is a defect: a 500 without internals.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct


class ApplicationError(Exception):
    """Something went wrong that the reader can understand; `message` names the next step where there is one."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(ApplicationError):
    """A setting is missing, malformed or unsafe: the process must not start."""


class Unauthenticated(ApplicationError):
    """No credentials, or credentials that are not (or no longer) valid."""


class PermissionDenied(ApplicationError):
    """The caller is known and lacks a permission; the audit names the principal that it is denied to (`by`), if any."""

    def __init__(self, permission: str, *, by: Any = None, message: str | None = None) -> None:
        super().__init__(message or f"Missing permission: {permission}")
        self.permission = permission
        self.by = by


class PersonRequired(PermissionDenied):
    """The credential is good, but only a person may do this: what an API key lacks is called `person` in the audit."""

    def __init__(self, *, by: Any) -> None:
        super().__init__("person", by=by, message="An API key cannot do this: sign in with e-mail and password")


class PreconditionFailed(ApplicationError):
    """What the request was made for has changed in the meantime."""


class NotFound(ApplicationError):
    """The thing named does not exist (or is not to be seen by the caller)."""


class Conflict(ApplicationError):
    """The request is well formed, but the present state forbids it."""


class FieldProblem(Struct, frozen=True):
    """One wrong field: where (dotted path) and what is wrong with it, never its value."""

    field: str
    message: str


class InvalidInput(ApplicationError):
    """The input is malformed; `problems` lists every wrong field, the message names the first."""

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, problems: Sequence[FieldProblem]) -> "InvalidInput":
        """The error for a list of problems, its message made from the first."""
        first = problems[0]
        return cls(f"{first.field}: {first.message}", problems)


class TooManyRequests(ApplicationError):
    """Come back later; `retry_after` is in seconds."""

    def __init__(self, what: str, retry_after: int) -> None:
        super().__init__(f"{what}: wait {retry_after} second{'s' * (retry_after != 1)}")
        self.retry_after = retry_after


class Unavailable(ApplicationError):
    """Something this service needs does not answer; trying again later may work."""
