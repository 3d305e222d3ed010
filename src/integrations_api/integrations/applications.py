"""What the tokens of an integration are for: the OAuth application that its config names. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.registry import find_service
from integrations_api.connectors.services import origin
from integrations_api.integrations.origins import names_an_address


class Application(Struct, frozen=True):
    """An OAuth application at a service; `id` is a hex digest that two configs share if one's tokens fit the other."""

    id: str
    service: str
    server: OAuthServer

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to sign in with a browser before there are tokens."""
        return self.server.grant == "authorization_code"


def redirect_uri_of(public_url: str) -> str:
    """Where services send browsers back to: exactly what has to be registered with them."""
    return f"{public_url.rstrip('/')}/integrations/oauth/callback"


def not_connected(service: str) -> str:
    """What `needs_connection` says of an integration that somebody has to connect first."""
    return f"Needs to be connected: nobody has signed in at {service} yet"


def application_of(service_name: str, auth_type: str, config: Mapping[str, Any]) -> Application | None:
    """The application of a config, with its secrets or with masks; None where it names none, or is not complete.

    A new client secret or password leaves the application as it is: what it has given out stays good.
    """
    known = find_service(service_name)
    if known is None or auth_type != "oauth2" or known.validate(auth_type, config):
        return None
    server = known.oauth(config)
    if server is None:
        return None
    facts = [known.name, origin(str(config.get("url") or "")), server.grant, server.token_url, server.authorize_url]
    facts += [*server.scopes, str(config.get("client_id")), str(config.get("username") or "")]
    # Where the tokens themselves are sent: an edit must not lead those of before to another host.
    facts += [f"{key} {origin(str(config[key]))}" for key in sorted(config) if _is_other_address(key, config[key])]
    digest = hashlib.sha256("\n".join(facts).encode("utf-8", "surrogatepass")).hexdigest()
    return Application(id=digest, service=known.name, server=server)


def _is_other_address(key: str, value: Any) -> bool:
    return key != "url" and bool(value) and names_an_address(key)
