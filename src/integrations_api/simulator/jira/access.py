"""Who may sign in to a site, and how: e-mail with API token, password, personal access token, OAuth 2.0."""

import hashlib
from typing import Literal
from urllib.parse import urlencode

from msgspec import Struct

from integrations_api.simulator.common.clock import Clock
from integrations_api.simulator.common.signing_in import OAuthError, basic_credentials, is_same, proves

Flavour = Literal["cloud", "datacenter"]

DEFAULT_API_TOKEN = "simulator-api-token"  # noqa: S105  (a simulator's, printed in its help)
DEFAULT_PASSWORD = "simulator-password"  # noqa: S105
DEFAULT_SCOPED_TOKEN = "simulator-api-token-with-scopes"  # noqa: S105
DEFAULT_PAT = "simulator-personal-access-token"
DEFAULT_CLIENT_ID = "simulator-client"
DEFAULT_CLIENT_SECRET = "simulator-client-secret"  # noqa: S105
CODE_SECONDS = 600


class User(Struct):
    """Somebody who signs in; dates in JQL are read in `time_zone`."""

    user_name: str = "integration"
    email: str = "integration@example.com"
    display_name: str = "Integration"
    time_zone: str = "America/Los_Angeles"
    api_token: str = DEFAULT_API_TOKEN
    scoped_token: str = DEFAULT_SCOPED_TOKEN
    password: str = DEFAULT_PASSWORD
    pat: str = DEFAULT_PAT


class Token(Struct):
    access: str
    refresh: str
    user_name: str
    expires_at: int


class Code(Struct):
    user_name: str
    redirect_uri: str
    challenge: str
    expires_at: int
    is_offline: bool


class Door:
    """The users of a site and their tokens. Refresh tokens rotate: each is good once."""

    def __init__(self, clock: Clock, users: list[User], flavour: Flavour) -> None:
        self.clock = clock
        self.users = {user.user_name: user for user in users}
        self.flavour = flavour
        self.token_seconds = 3600
        self.tokens: dict[str, Token] = {}
        self.codes: dict[str, Code] = {}
        self.spent: set[str] = set()
        self._issued = 0

    def identify(self, authorization: str, *, by_gateway: bool = False) -> tuple[User | None, str]:
        """The user who signs in with this header, or None, and the kind: basic, bearer or none.

        `by_gateway`: through api.atlassian.com, which takes OAuth tokens and API tokens with scopes, as no site does.
        """
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "basic":
                return self._by_basic(*basic_credentials(value), by_gateway=by_gateway), "basic"
            case "bearer":
                return self._by_bearer(value.strip(), by_gateway=by_gateway), "bearer"
            case _:
                return None, "none"

    def _by_basic(self, name: str, secret: str, *, by_gateway: bool) -> User | None:
        for user in self.users.values():
            token = user.scoped_token if by_gateway else user.api_token
            known = (user.email, token) if self.flavour == "cloud" else (user.user_name, user.password)
            if known[0].casefold() == name.casefold() and is_same(known[1], secret):
                return user
        return None

    def _by_bearer(self, value: str, *, by_gateway: bool) -> User | None:
        token = self.tokens.get(value)
        if token is not None and token.expires_at > self.clock.true_now():
            return self.users.get(token.user_name) if by_gateway or self.flavour == "datacenter" else None
        if self.flavour == "cloud":
            return None
        return next((user for user in self.users.values() if is_same(user.pat, value)), None)

    def expire_tokens(self) -> None:
        """All access tokens stop working now; refresh tokens live on."""
        for token in self.tokens.values():
            token.expires_at = self.clock.true_now()

    # ---- OAuth 2.0

    def authorize(self, params: dict[str, str]) -> str:
        """The address that the browser is sent back to: somebody who is signed in has agreed. Raises OAuthError."""
        if params.get("client_id") != DEFAULT_CLIENT_ID or params.get("response_type") != "code":
            raise OAuthError(400, "invalid_request", "Unknown client or response type")
        self._issued += 1
        code = _random("code", self._issued)
        scopes = params.get("scope", "").split()
        self.codes[code] = Code(
            user_name=next(iter(self.users)),
            redirect_uri=params.get("redirect_uri", ""),
            challenge=params.get("code_challenge", ""),
            expires_at=self.clock.true_now() + CODE_SECONDS,
            is_offline=self.flavour == "datacenter" or "offline_access" in scopes,
        )
        query = urlencode({"code": code, "state": params.get("state", "")})
        return f"{params.get('redirect_uri', '')}?{query}"

    def grant(self, form: dict[str, str]) -> dict[str, str | int]:
        """The answer of the token endpoint. Raises OAuthError."""
        is_client = is_same(DEFAULT_CLIENT_ID, form.get("client_id", ""))
        if not is_client or not is_same(DEFAULT_CLIENT_SECRET, form.get("client_secret", "")):
            raise OAuthError(401, "invalid_client", "Unknown client, or a wrong secret")
        match form.get("grant_type"):
            case "authorization_code":
                return self._by_code(form)
            case "refresh_token":
                return self._by_refresh(form.get("refresh_token", ""))
            case _:
                raise OAuthError(400, "unsupported_grant_type", "The grant type is not supported")

    def _by_code(self, form: dict[str, str]) -> dict[str, str | int]:
        code = self.codes.pop(form.get("code", ""), None)
        if code is None or code.expires_at <= self.clock.true_now() or code.redirect_uri != form.get("redirect_uri"):
            raise OAuthError(self._refusal, "invalid_grant", "Invalid authorization code")
        if not proves(form.get("code_verifier", ""), code.challenge):
            raise OAuthError(self._refusal, "invalid_grant", "Invalid code verifier")
        return self.issue(code.user_name, is_offline=code.is_offline)

    def _by_refresh(self, refresh: str) -> dict[str, str | int]:
        token = next((token for token in self.tokens.values() if token.refresh and token.refresh == refresh), None)
        if token is None or refresh in self.spent:
            raise OAuthError(self._refusal, "invalid_grant", "Unknown or invalid refresh token.")
        self.spent.add(refresh)
        return self.issue(token.user_name, is_offline=True)

    @property
    def _refusal(self) -> int:
        """Atlassian answers a refused grant with 403, others with 400. Source: facts/jira.md."""
        return 403 if self.flavour == "cloud" else 400

    def issue(self, user_name: str, *, is_offline: bool) -> dict[str, str | int]:
        """A new access token, as the token endpoint answers it; with a refresh token where it is offline."""
        self._issued += 1
        refresh = _random("refresh", self._issued) if is_offline else ""
        token = Token(_random("access", self._issued), refresh, user_name, self.clock.true_now() + self.token_seconds)
        self.tokens[token.access] = token
        answer: dict[str, str | int] = {
            "access_token": token.access,
            "token_type": "Bearer",
            "expires_in": self.token_seconds,
            "scope": "read:jira-work offline_access" if self.flavour == "cloud" else "READ",
        }
        return answer | {"refresh_token": refresh} if refresh else answer


def _random(kind: str, number: int) -> str:
    return hashlib.sha256(f"jira:{kind}:{number}".encode()).hexdigest()
