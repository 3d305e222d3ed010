"""An OAuth 2.0 server that nobody here wrote, Authlib's, before a simulated ServiceNow: it speaks real OAuth.

It insists on PKCE, names itself in its answers (RFC 9207), gives each refresh token out once, and lets each access
token pass a few times only. What passes goes on to the simulator, signed in by user name and password.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207.parameter import IssuerParameter
from flask import Flask, Response, request
from werkzeug.serving import make_server

from integrations_api.simulator.servicenow.access import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_PASSWORD

USES = 3
"""How often an access token is good."""
USER = "a person"


class Client(ClientMixin):  # type: ignore[misc]
    """The one application that is registered."""

    def get_client_id(self) -> str:
        return DEFAULT_CLIENT_ID

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == "http://127.0.0.1:8000/integrations/oauth/callback"

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == DEFAULT_CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


@dataclass
class Token(TokenMixin):  # type: ignore[misc]
    """A pair of tokens, and how often the first was used."""

    access_token: str
    refresh_token: str
    is_used_up: bool = False
    uses: int = 0

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return ""

    def get_expires_in(self) -> int:
        return 3600

    def is_expired(self) -> bool:
        self.uses += 1
        return self.uses > USES

    def is_revoked(self) -> bool:
        return False


@dataclass
class Code:
    """What a code was given out for."""

    redirect_uri: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return ""


@dataclass
class Records:
    """What the server keeps, and what a test looks at."""

    codes: dict[str, Code] = field(default_factory=dict)
    tokens: list[Token] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    """Refresh tokens that came a second time."""


def _grants(records: Records) -> tuple[type[Any], type[Any]]:
    class ByCode(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            records.codes[code] = Code(
                request.payload.redirect_uri, data["code_challenge"], data["code_challenge_method"]
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return records.codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            records.codes.clear()

        def authenticate_user(self, authorization_code: Code) -> str:
            return USER

    class ByRefreshToken(grants.RefreshTokenGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_post",)
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
            known = next((one for one in records.tokens if one.refresh_token == refresh_token), None)
            if known is not None and known.is_used_up:
                records.reused.append(refresh_token)
            return known if known is not None and not known.is_used_up else None

        def authenticate_user(self, refresh_token: Token) -> str:
            return USER

        def revoke_old_credential(self, refresh_token: Token) -> None:
            refresh_token.is_used_up = True

    return ByCode, ByRefreshToken


def _app(records: Records, source: str) -> Flask:
    app = Flask("authorization-server")
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": 3600, "refresh_token": 3600}

    def save(token: dict[str, Any], _: Any) -> None:
        records.tokens.append(Token(token["access_token"], token["refresh_token"]))

    def find(client_id: str) -> Client | None:
        return Client() if client_id == DEFAULT_CLIENT_ID else None

    server = AuthorizationServer(app, query_client=find, save_token=save)

    class Issuer(IssuerParameter):  # type: ignore[misc]
        def get_issuer(self) -> str:
            return request.host_url.rstrip("/")

    class Validator(BearerTokenValidator):  # type: ignore[misc]
        def authenticate_token(self, token_string: str) -> Token | None:
            return next((one for one in records.tokens if one.access_token == token_string), None)

    by_code, by_refresh_token = _grants(records)
    server.register_grant(by_code, [CodeChallenge(required=True)])
    server.register_grant(by_refresh_token)
    Issuer()(server)
    protect = ResourceProtector()
    protect.register_token_validator(Validator())

    @app.get("/oauth_auth.do")
    def ask() -> str:
        server.get_consent_grant(end_user=USER)
        return "<form method=post><button>Allow</button></form>"

    @app.post("/oauth_auth.do")
    def allow() -> Any:
        grant = server.get_consent_grant(end_user=USER)
        return server.create_authorization_response(grant=grant, grant_user=USER)

    @app.post("/oauth_token.do")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/api/<path:path>")
    @protect()  # type: ignore[untyped-decorator]
    def api(path: str) -> Response:
        user = ("integration", DEFAULT_PASSWORD)
        answer = httpx.get(
            f"{source}/api/{path}", params=request.args.to_dict(), auth=user, trust_env=False, timeout=60
        )
        wanted = ("content-type", "x-total-count", "date")
        headers = [(name, answer.headers[name]) for name in wanted if name in answer.headers]
        return Response(answer.content, answer.status_code, headers)

    return app


@contextmanager
def authlib_before(source: str) -> Iterator[tuple[str, Records]]:
    """The server's address, and what it keeps, while the context lasts."""
    records = Records()
    server = make_server("127.0.0.1", 0, _app(records, source), threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="authlib", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", records
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
