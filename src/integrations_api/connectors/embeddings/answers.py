"""What an embedding service answered, checked: pure functions."""

import json
import math
from collections.abc import Sequence
from typing import Any

import orjson

from integrations_api.connectors.embeddings.embedder import Vector
from integrations_api.connectors.embeddings.errors import TextRefused
from integrations_api.connectors.errors import ConnectorError, Refused, Retryable
from integrations_api.connectors.http import Answer

_MOST_VALUES = 20_000
"""For each text, five times as many as a vector may have numbers. They are counted before they are read: millions of
them would keep all searches waiting."""
_URL_REMEDY = "Check EMBEDDINGS_URL: it is to lead to an OpenAI-compatible service"


def vectors_of(answer: Answer, *, texts: int) -> list[Vector]:
    """The vectors in the order of the texts.

    Raises `TextRefused` where one of them is no vector, else another `ConnectorError` for an answer that is not
    complete and sound.
    """
    if sum(answer.body.count(sign) for sign in (b",", b"[", b"{")) > _MOST_VALUES * (texts + 1):
        raise Refused("The embedding service's answer holds more than the vectors of these texts", _URL_REMEDY)
    try:
        found = [_numbers(one) for one in _in_order(_read(answer.body)["data"], texts)]
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        if answer.is_html:
            raise Refused("The embedding service answered with a page for people", _URL_REMEDY) from error
        raise Retryable("The embedding service's answer cannot be read", _URL_REMEDY) from error
    if len({len(vector) for vector in found}) > 1:
        raise Refused("The embedding service gave vectors of different lengths in one answer", _URL_REMEDY)
    return [unit(vector) for vector in found]


def _read(body: bytes) -> Any:
    """JSON, also with the NaN and Infinity that some services write. Raises `ValueError` or `RecursionError`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def _in_order(data: Any, texts: int) -> list[Any]:
    """The items by their index; a service that gives none keeps the order. Raises `ValueError` or `TypeError`."""
    if len(data) != texts:
        raise ValueError("another number of vectors than of texts")
    indexes = [item.get("index", place) for place, item in enumerate(data)]
    if sorted(indexes) != list(range(texts)):
        raise ValueError("indexes that do not fit")
    ordered = sorted(zip(indexes, data, strict=True), key=lambda pair: pair[0])
    return [item["embedding"] for _, item in ordered]


def _numbers(embedding: Any) -> Vector:
    """What a model makes of a text that tells it nothing may be NaN, null or empty: no fault of the other texts."""
    if embedding is not None and not isinstance(embedding, list):
        raise TypeError("not a list")
    numbers = tuple(math.nan if number is None else float(number) for number in embedding or ())
    if not numbers or not all(math.isfinite(number) for number in numbers):
        raise TextRefused("The embedding service has no vector for a text", "Check EMBEDDINGS_MODEL")
    return numbers


def unit(vector: Sequence[float]) -> Vector:
    """The vector made as long as 1; one of zeros stays as it is."""
    largest = max((abs(number) for number in vector), default=0.0)
    if largest == 0.0:
        return tuple(vector)
    scaled = [number / largest for number in vector]  # The squares of huge numbers would be infinite.
    length = math.sqrt(sum(number * number for number in scaled))
    return tuple(number / length for number in scaled)


def refusal(answer: Answer, *, model: str) -> ConnectorError | None:
    """What a status below 500 means that is no success; None for 200. Shows nothing of the answer's body."""
    match answer.status:
        case 200:
            return None
        case 401 | 403:
            return Refused(f"The embedding service refuses the key ({answer.status})", "Check EMBEDDINGS_API_KEY")
        case 404:
            return Refused(
                f"The embedding service does not know the model {model}, or this path (404)",
                "Check EMBEDDINGS_URL and EMBEDDINGS_MODEL",
            )
        case 400 | 413 | 422:
            return TextRefused(f"The embedding service refuses the request ({answer.status})", "Check EMBEDDINGS_MODEL")
        case _:
            return Refused(f"The embedding service refuses the request ({answer.status})", _URL_REMEDY)
