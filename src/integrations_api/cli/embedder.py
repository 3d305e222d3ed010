"""An OpenAI-compatible embedding service: the application, over whatever makes vectors of texts."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Encode = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""One vector for each text; called in a thread, by one at a time."""

AT_ONCE = 8
"""Texts that are encoded in one go: then whoever waits has his turn, such as a search, which has less than a second."""
MOST_TEXTS = 2048
LONGEST_BODY = 32_000_000  # bytes
_NOBODY_WAITS = 499


def create_embedder(encode: Encode, *, model: str) -> Starlette:
    """`POST /v1/embeddings` and `GET /v1/models` for one model."""
    service = _Service(encode, model)
    return Starlette(
        routes=[
            Route("/v1/embeddings", service.embeddings, methods=["POST"]),
            Route("/v1/models", service.models),
        ]
    )


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Service:
    def __init__(self, encode: Encode, model: str) -> None:
        self._encode = encode
        self._model = model
        self._turn = asyncio.Lock()  # Who waits longest has it next.

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": self._model, "object": "model"}]})

    async def embeddings(self, request: Request) -> Response:
        try:
            texts = self._texts_of(await _read(request))
        except _Refusal as refusal:
            error = {"message": refusal.message, "type": "invalid_request_error"}
            return JSONResponse({"error": error}, status_code=refusal.status)
        found: list[Sequence[float]] = []
        while len(found) < len(texts):
            async with self._turn:
                if await request.is_disconnected():
                    return Response(status_code=_NOBODY_WAITS)
                found += await asyncio.to_thread(self._encode, texts[len(found) : len(found) + AT_ONCE])
        data = [
            {"object": "embedding", "index": index, "embedding": [float(number) for number in vector]}
            for index, vector in enumerate(found)
        ]
        return Response(
            orjson.dumps({"object": "list", "model": self._model, "data": data}), media_type="application/json"
        )

    def _texts_of(self, body: Any) -> list[str]:
        if not isinstance(body, dict):
            raise _Refusal(400, "Send an object with `model` and `input`")
        if body.get("model") != self._model:
            raise _Refusal(404, f"The only model here is {self._model}")
        given = body.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
            raise _Refusal(400, "`input` must be a text or a list of texts")
        if len(texts) > MOST_TEXTS:
            raise _Refusal(400, f"At most {MOST_TEXTS} texts go into one request")
        return texts


async def _read(request: Request) -> Any:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise _Refusal(413, f"A request has at most {LONGEST_BODY} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Refusal(400, "The body is not JSON") from None
