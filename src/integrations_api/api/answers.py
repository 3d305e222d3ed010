"""Answers that are made here: too long to be copied through a model, or with headers of their own."""

from typing import Any

import orjson
from fastapi import Request, Response


def answer(**fields: Any) -> Response:
    """A success in the envelope, straight to JSON: the route's `response_model` documents it and does not copy it."""
    return Response(orjson.dumps({"success": True, **fields}), media_type="application/json")


def created(made: Response, request: Request, path: str) -> Response:
    """The answer as a 201, which says where the new thing is, also behind a server that serves us under a path."""
    made.status_code = 201
    made.headers["Location"] = f"{request.scope.get('root_path', '').rstrip('/')}{path}"
    return made
