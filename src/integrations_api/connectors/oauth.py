"""Signing in by OAuth 2.0, as a connector sees it: a token when it asks, and another one when that was refused.

How a service takes part, in three steps:

1. Its config for `oauth2` has `client_id` and `client_secret` (and `username`, `password` for the grant password).
2. Its description says where its authorization server is and what that one is like, as data and without any request:

       def oauth(self, config: JsonObject) -> OAuthServer | None:
           return OAuthServer(
               grant="authorization_code",
               authorize_url="https://auth.example.com/authorize",
               token_url="https://auth.example.com/oauth/token",
               scopes=("read:issues", "offline_access"),
           )

3. Its `open` hands the tokens to its client: `auth = BearerAuth(signed_in(context))`, with `BearerAuth` from
   `connectors/bearer.py` and `signed_in` from `connectors/services.py`.

Everything else is done elsewhere and for all services alike: the address to open in a browser, state and PKCE, the
exchange of the code, sealed storage, renewing ahead of expiry by one process at a time. Rotating refresh tokens need
no flag: what an answer brings is kept, and what it leaves out stays. In tests `tests/support/tokens.py` has tokens to
hand to a context.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct, field

Grant = Literal["client_credentials", "password", "authorization_code"]


class AccessTokens(Protocol):
    """The access tokens of one integration, shared by all processes that work for it.

    Both methods may take as long as a request to the authorization server. They raise `Refused` where somebody has to
    act (connect again, correct the config), with words for what to do, and `Retryable` where it may pass by itself.
    """

    async def current(self) -> str:
        """A token that is good for some time yet; got or renewed first, where there is none."""
        ...

    async def renewed(self, refused: str) -> str:
        """A token after the source answered 401 to `refused`.

        Gives what another process has got meanwhile, without a request. May be the same text again: some servers
        repeat a token for as long as it lives, and then something else than its age is wrong.
        """
        ...


class OAuthServer(Struct, frozen=True):
    """What is known of an authorization server before anything is sent to it."""

    grant: Grant
    token_url: str
    authorize_url: str = ""
    """Where a browser goes; only for the grant authorization_code."""
    scopes: tuple[str, ...] = ()
    pkce: bool = True
    """Whether the challenge (S256) is sent. RFC 6749 has servers ignore what they do not know; some refuse it."""
    client_auth: Literal["body", "basic"] = "body"
    """How the client proves itself at the token URL: keys of the form, or HTTP Basic."""
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    """What else the address for the browser carries, such as an audience."""
    issuer: str | None = None
    """What `iss` in a callback must be (RFC 9207), where the server is known to send it."""
    grant_errors: frozenset[str] = frozenset({"invalid_grant"})
    """The `error` codes that say a code or refresh token is good for nothing any more."""
