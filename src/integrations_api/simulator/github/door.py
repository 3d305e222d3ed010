"""Signing in through a GitHub App: a code from the browser, user tokens of eight hours, refresh tokens used once.

Errors of the token address come with status 200, as GitHub sends them.
"""

import hmac
import secrets
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct, field

from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.common.signing_in import proves

from .instance import GitHubInstance
from .messages import Call, refuse
from .model import Token

CLIENT_ID = "Iv23liSimulator"
CLIENT_SECRET = "simulator-client-secret"  # noqa: S105  (a simulator's)
TOKEN_SECONDS = 8 * 3600


class Door(Struct):
    """Codes and refresh tokens that were handed out and not yet used."""

    instance: GitHubInstance
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Code to redirect address and PKCE challenge."""
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    """Refresh token to the access token that came with it."""
    token_seconds: int = TOKEN_SECONDS

    def answer(self, call: Call) -> Answer:
        """Raises RefusedError."""
        if call.path == "/login/oauth/authorize" and call.method == "GET":
            return self._authorize(call.params)
        if call.path == "/login/oauth/access_token" and call.method == "POST":
            form = dict(parse_qsl(call.body.decode("utf-8", "replace")))
            return Answer.json(self._grant(form))
        raise refuse(404, "Not Found")

    def _authorize(self, params: dict[str, str]) -> Answer:
        """Somebody who is signed in agrees at once."""
        if params.get("client_id") != CLIENT_ID or not params.get("redirect_uri"):
            raise refuse(404, "Not Found")
        code = secrets.token_hex(10)
        self.codes[code] = params["redirect_uri"], params.get("code_challenge", "")
        query = urlencode({"code": code, "state": params.get("state", "")})
        return Answer(302, {"Location": f"{params['redirect_uri']}?{query}"})

    def _grant(self, form: dict[str, str]) -> dict[str, str | int]:
        secret = form.get("client_secret", "")
        if form.get("client_id") != CLIENT_ID or not hmac.compare_digest(secret.encode(), CLIENT_SECRET.encode()):
            return _error("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.")
        if form.get("grant_type") == "refresh_token":
            old = self.refresh_tokens.pop(form.get("refresh_token", ""), None)
            if old is None:
                return _error("bad_refresh_token", "The refresh token passed is incorrect or expired.")
            self.instance.tokens.pop(old, None)
            return self._issued()
        redirect, challenge = self.codes.pop(form.get("code", ""), ("", ""))
        if not redirect or redirect != form.get("redirect_uri") or not proves(form.get("code_verifier", ""), challenge):
            return _error("bad_verification_code", "The code passed is incorrect or expired.")
        return self._issued()

    def _issued(self) -> dict[str, str | int]:
        token, refresh = f"ghu_{secrets.token_hex(18)}", f"ghr_{secrets.token_hex(38)}"
        expires = self.instance.clock.true_now() + self.token_seconds
        self.instance.tokens[token] = Token(token, expires=expires)
        self.refresh_tokens[refresh] = token
        return {
            "access_token": token,
            "expires_in": self.token_seconds,
            "refresh_token": refresh,
            "refresh_token_expires_in": 15_897_600,
            "scope": "",
            "token_type": "bearer",
        }


def _error(code: str, description: str) -> dict[str, str | int]:
    return {"error": code, "error_description": description, "error_uri": "https://docs.github.com/apps"}
