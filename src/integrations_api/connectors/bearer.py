"""Requests that are signed in by a bearer token."""

from collections.abc import AsyncGenerator, Generator

import httpx
from pydantic import SecretStr

from integrations_api.connectors.oauth import AccessTokens


class TokenAuth(httpx.Auth):
    """Adds a token that stands for its owner; it stays wrapped until it goes out."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        yield request


class BearerAuth(httpx.Auth):
    """Adds an OAuth access token to each request; one answered by 401 is sent once more with a renewed token."""

    def __init__(self, tokens: AccessTokens) -> None:
        self._tokens = tokens

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._tokens.current()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code != 401:
            return
        renewed = await self._tokens.renewed(token)
        if renewed != token:
            request.headers["Authorization"] = f"Bearer {renewed}"
            yield request
