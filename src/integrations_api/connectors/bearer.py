"""Requests that are signed in by an OAuth access token."""

from collections.abc import AsyncGenerator

import httpx

from integrations_api.connectors.oauth import AccessTokens


class BearerAuth(httpx.Auth):
    """Adds the token to each request; one that is answered by 401 is sent once more with a renewed token."""

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
