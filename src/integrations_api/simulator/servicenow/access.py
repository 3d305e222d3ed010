"""Who may sign in, how, and what they may read."""

import hashlib

from msgspec import Struct, field

from integrations_api.simulator.common.clock import Clock
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.common.signing_in import OAuthError, basic_credentials, is_same

from .authorize import Codes, page, redirect

TOKEN_SECONDS = 1_800
DEFAULT_PASSWORD = "simulator-password"  # noqa: S105  (a simulator's, printed in its help)
DEFAULT_API_KEY = "simulator-api-key"
DEFAULT_CLIENT_ID = "simulator-client"
DEFAULT_CLIENT_SECRET = "simulator-client-secret"  # noqa: S105
READ_ROLES: dict[str, frozenset[str]] = {
    "incident": frozenset({"admin", "itil", "sn_incident_read"}),
    "ar_incident": frozenset({"admin", "itil", "archive_reader"}),
    "problem": frozenset({"admin", "itil", "sn_incident_read"}),
    "sys_journal_field": frozenset({"admin", "journal_reader"}),
    "sys_audit_delete": frozenset({"admin", "delete_log_reader"}),
    "sys_audit": frozenset({"admin", "delete_log_reader"}),
    "sys_db_object": frozenset({"admin"}),
    "sys_properties": frozenset({"admin"}),
}
"""Any of these roles reads the table; a table that is not named here is open to every user who is signed in.

`journal_reader`, `archive_reader` and `delete_log_reader` stand for the read ACLs that an administrator writes for the
integration's own role: no role that ServiceNow ships gives a non-admin these tables.
"""

EMPTY_WHEN_DENIED = frozenset({"sys_journal_field"})
"""Tables that answer 200 with no rows, instead of 403, to those who may not read them."""


class User(Struct):
    """Somebody who signs in. `time_zone` and `date_format` (a Java pattern) decide what display values look like."""

    user_name: str = "integration"
    password: str = DEFAULT_PASSWORD
    roles: set[str] = field(default_factory=lambda: {"sn_incident_read", "snc_read_only"})
    time_zone: str = "America/Los_Angeles"
    date_format: str = "yyyy-MM-dd HH:mm:ss"
    api_key: str = DEFAULT_API_KEY

    def may_read(self, table: str) -> bool:
        needed = READ_ROLES.get(table)
        return needed is None or bool(needed & self.roles)


class Client(Struct):
    """An OAuth application. `user_name` is whom client_credentials run as; empty refuses that grant."""

    client_id: str = DEFAULT_CLIENT_ID
    client_secret: str = DEFAULT_CLIENT_SECRET
    user_name: str = "integration"
    is_linked_to_access_policy: bool = True
    """Without the link a token of client_credentials is issued, and every request with it gets 401."""
    redirect_uris: frozenset[str] = frozenset()
    """Where browsers may be sent back to; none named: anywhere."""


class Token(Struct):
    value: str
    user_name: str
    expires_at: int
    refresh: str
    works: bool = True


class Door:
    """Users, clients and tokens of an instance."""

    def __init__(self, clock: Clock, users: list[User], clients: list[Client]) -> None:
        self.clock = clock
        self.users = {user.user_name: user for user in users}
        self.clients = {client.client_id: client for client in clients}
        self.tokens: dict[str, Token] = {}
        self.token_seconds = TOKEN_SECONDS
        self.codes = Codes(clock)
        self.consents = True
        """Whether the user in front of a browser agrees."""
        self.refusal = "invalid_grant"
        """What a refused grant is called; of many instances it is `server_error`, with the same description."""
        self._revoked: set[str] = set()
        self._issued = 0

    def identify(self, authorization: str, api_key: str) -> tuple[User | None, str]:
        """The user who signs in with these headers, or None, and the kind: basic, bearer, api_key or none."""
        if api_key:
            return next((user for user in self.users.values() if is_same(user.api_key, api_key)), None), "api_key"
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "basic":
                return self._by_password(*basic_credentials(value)), "basic"
            case "bearer":
                return self._by_token(value.strip()), "bearer"
            case _:
                return None, "none"

    def _by_password(self, user_name: str, password: str) -> User | None:
        user = self.users.get(user_name)
        return user if user and is_same(user.password, password) else None

    def _by_token(self, value: str) -> User | None:
        token = self.tokens.get(value)
        if token is None or not token.works or token.expires_at <= self.clock.true_now():
            return None
        return self.users.get(token.user_name)

    def expire_tokens(self) -> None:
        """All access tokens stop working now; refresh tokens live on."""
        for token in self.tokens.values():
            token.expires_at = self.clock.true_now()

    def revoke_refresh_tokens(self) -> None:
        """No refresh token that was given out so far is good any more; access tokens live to their end."""
        self._revoked.update(token.refresh for token in self.tokens.values())

    def authorize(self, params: dict[str, str]) -> Answer:
        """The answer of `/oauth_auth.do`, to a browser whose user is signed in as the client's."""
        client, back = self.clients.get(params.get("client_id", "")), params.get("redirect_uri", "")
        if client is None or not back or (client.redirect_uris and back not in client.redirect_uris):
            return page(400, "Invalid client_id or redirect_uri")
        state = params.get("state", "")
        if params.get("response_type") != "code":
            return redirect(back, error="unsupported_response_type", state=state)
        if not self.consents:
            return redirect(back, error="access_denied", state=state)
        return redirect(back, code=self.codes.give(params, client.user_name), state=state)

    def grant(self, form: dict[str, str]) -> dict[str, str | int]:
        """The answer of `/oauth_token.do`. Raises OAuthError."""
        client = self.clients.get(form.get("client_id", ""))
        if client is None or not is_same(client.client_secret, form.get("client_secret", "")):
            raise OAuthError(401, "invalid_client", "access_denied")
        match form.get("grant_type"):
            case "password":
                user = self._by_password(form.get("username", ""), form.get("password", ""))
                works = True
            case "client_credentials":
                user, works = self.users.get(client.user_name), client.is_linked_to_access_policy
            case "refresh_token":
                user, works = self._by_refresh(form.get("refresh_token", "")), True
            case "authorization_code":
                user, works = self.users.get(self.codes.take(form) or ""), True
            case _:
                raise OAuthError(400, "unsupported_grant_type", "The grant type is not supported")
        if user is None:
            raise OAuthError(401, self.refusal, "access_denied")
        return self._answer(self._token_for(user, client, works=works), form["grant_type"])

    def _by_refresh(self, refresh: str) -> User | None:
        known = [token for token in self.tokens.values() if token.refresh == refresh and refresh not in self._revoked]
        token = known[-1] if known else None
        return self.users.get(token.user_name) if token else None

    def _token_for(self, user: User, client: Client, *, works: bool) -> Token:
        """The token that is still alive, else a new one: asking twice within the lifetime answers the same token."""
        now = self.clock.true_now()
        mine = [token for token in self.tokens.values() if token.user_name == user.user_name]
        mine = [token for token in mine if token.refresh not in self._revoked]
        alive = next((token for token in mine if token.expires_at > now and token.works == works), None)
        if alive:
            return alive
        self._issued += 1
        value = hashlib.sha256(f"{client.client_id}:{user.user_name}:{self._issued}".encode()).hexdigest()
        refresh = mine[-1].refresh if mine else value[::-1]
        token = Token(value, user.user_name, now + self.token_seconds, refresh, works)
        self.tokens[value] = token
        return token

    def _answer(self, token: Token, grant_type: str) -> dict[str, str | int]:
        left = token.expires_at - self.clock.true_now() - 1
        answer: dict[str, str | int] = {
            "access_token": token.value,
            "scope": "useraccount",
            "token_type": "Bearer",
            "expires_in": left,
        }
        return answer if grant_type == "client_credentials" else answer | {"refresh_token": token.refresh}
