"""METRICS_TOKEN, as the API and the port of a worker ask for it."""

import secrets

from integrations_api.settings import Settings

REFUSED = "Send Authorization: Bearer <the METRICS_TOKEN of this service>"


def is_token(sent: str, settings: Settings) -> bool:
    """Whether it is METRICS_TOKEN, in a time that does not tell how much of it is right."""
    token = settings.metrics_token
    return token is not None and secrets.compare_digest(sent.encode(), token.get_secret_value().encode())
