"""Requests to an authorization server's token URL, and what its answers mean.

An answer's own words go nowhere: only its `error` code is looked at, and told in ours.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeGuard
from urllib.parse import quote_plus

import httpx

from integrations_api.clock import utc_now
from integrations_api.connectors.errors import ConnectorError, Refused, Retryable
from integrations_api.connectors.http import Answer, broken_off, parse_json, status_error, translated
from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.records import JsonObject
from integrations_api.connectors.token_answers import LONGEST_REQUEST, GrantRefused, TokenAnswer
from integrations_api.egress.client import open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused

_LARGEST_ANSWER = 1_000_000
_LONGEST_TOKEN = 20_000
_LONGEST_LIFE = timedelta(days=3650)

_CHECK_CLIENT = "Check client_id and client_secret, and that the OAuth application is active and allows this grant"


class TokenRequests:
    """Asks the token URL of one application; each method is one request, without retries. Raises `ConnectorError`."""

    def __init__(self, *, server: OAuthServer, config: JsonObject, policy: EgressPolicy) -> None:
        self.server = server
        self._config = config
        self._policy = replace(
            policy,
            timeout=min(policy.timeout, LONGEST_REQUEST),
            max_response_bytes=min(policy.max_response_bytes, _LARGEST_ANSWER),
        )

    @property
    def client_id(self) -> str:
        """Which application asks; no secret."""
        return self._text("client_id")

    async def by_config(self) -> TokenAnswer:
        """With what the config holds: the grants client_credentials and password."""
        form: dict[str, str] = {"grant_type": self.server.grant}
        if self.server.grant == "password":
            form |= {"username": self._text("username"), "password": self._text("password")}
        return await self._ask(form, scopes=True)

    async def by_code(self, code: str, *, redirect_uri: str, verifier: str | None) -> TokenAnswer:
        """With the code that a browser brought back."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._ask(form | ({"code_verifier": verifier} if verifier else {}))

    async def by_refresh_token(self, refresh_token: str) -> TokenAnswer:
        """With a refresh token. Where its answer brings no new one, this one stays good."""
        return await self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def _text(self, key: str) -> str:
        return str(self._config.get(key) or "")

    async def _ask(self, form: dict[str, str], *, scopes: bool = False) -> TokenAnswer:
        if scopes and self.server.scopes:
            form["scope"] = " ".join(self.server.scopes)
        auth = None
        if self.server.client_auth == "basic":
            # Both are form-encoded before they become Basic credentials: RFC 6749, 2.3.1.
            auth = httpx.BasicAuth(quote_plus(self.client_id), quote_plus(self._text("client_secret")))
        else:
            form |= {"client_id": self.client_id, "client_secret": self._text("client_secret")}
        return read_answer(await self._post(form, auth), self.server)

    async def _post(self, form: Mapping[str, str], auth: httpx.Auth | None) -> Answer:
        try:
            async with open_client(self._policy, self.server.token_url, auth=auth) as http:
                response = await http.post(self.server.token_url, data=form)
                return Answer(response.status_code, response.headers, response.content)
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise Retryable("The token URL took too long to answer") from error
        except httpx.DecodingError as error:
            raise broken_off(error) from error
        except (httpx.HTTPError, httpx.InvalidURL, EgressRefused, UnicodeError) as error:
            raise translated(error) from error


def read_answer(answer: Answer, server: OAuthServer) -> TokenAnswer:
    """Reads a token, or raises the `ConnectorError` that the answer stands for.

    Some servers tell errors with a 200; so the body is asked before the status.
    """
    body = _object(answer)
    code = body.get("error")
    if isinstance(code, str) and answer.status < 500 and answer.status != 429:
        raise _refusal(code, server)
    if error := status_error(answer, utc_now()):
        raise error
    if answer.status != 200:
        raise Refused(f"The token URL refused the request ({answer.status})", _CHECK_CLIENT)
    return _token(body)


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        value, _ = parse_json(answer.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(code: str, server: OAuthServer) -> ConnectorError:
    if code in server.grant_errors:
        return GrantRefused("Sign-in was refused by the OAuth server", _remedy_of(server))
    if code in {"temporarily_unavailable", "slow_down"}:
        return Retryable("The OAuth server cannot answer at the moment")
    if code == "invalid_scope":
        return Refused("The OAuth server refused the scopes", "Allow the OAuth application the scopes it needs")
    return Refused("The OAuth server refused the application", _CHECK_CLIENT)


def _remedy_of(server: OAuthServer) -> str:
    if server.grant == "password":
        return "Check username and password, client_id and client_secret; the user must be active and not locked out"
    if server.grant == "client_credentials":
        return _CHECK_CLIENT
    return "Connect the integration again"


def _token(body: Mapping[str, Any]) -> TokenAnswer:
    token, refresh = body.get("access_token"), body.get("refresh_token")
    is_bearer = str(body.get("token_type", "bearer")).lower() == "bearer"
    if not is_bearer or not _is_token(token) or not (refresh is None or _is_token(refresh)):
        raise Refused("The token URL answered with something else than a token", "Check the URL of the configuration")
    return TokenAnswer(access_token=token, refresh_token=refresh, lifetime=_lifetime(body.get("expires_in")))


def _is_token(value: Any) -> TypeGuard[str]:
    """Fit for a header: visible ASCII (RFC 6749, appendix A)."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TOKEN:
        return False
    return value.isascii() and value.isprintable() and " " not in value


def _lifetime(value: Any) -> timedelta | None:
    """From seconds as a number or as text; what is neither counts as not named."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return timedelta(seconds=min(seconds, _LONGEST_LIFE.total_seconds())) if seconds > 0 else None
