"""What can go wrong before a command has anything to do with the service."""

from integrations_api.errors import ApplicationError


class WrongUsage(ApplicationError):
    """The command was called in a way that cannot work: exit code 2."""


class PortInUse(ApplicationError):
    """Somebody else listens where we are to listen."""
