"""Answers that are too long to be copied through a model."""

from typing import Any

import orjson
from fastapi import Response


def answer(**fields: Any) -> Response:
    """A success in the envelope, straight to JSON: the route's `response_model` documents it and does not copy it."""
    return Response(orjson.dumps({"success": True, **fields}), media_type="application/json")
