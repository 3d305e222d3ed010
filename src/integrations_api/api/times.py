"""Times as clients send them."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

T = TypeVar("T", bound=datetime)


def _refuse_numbers(sent: Any) -> Any:
    try:
        float(sent)
    except (TypeError, ValueError):
        return sent
    raise ValueError("must be a time such as 2026-03-01T10:30:00Z")


WrittenTime = Annotated[T, BeforeValidator(_refuse_numbers)]
"""`WrittenTime[AwareDatetime]`: a date and time in words of ISO 8601. Without this, Pydantic takes any number for the
seconds or milliseconds since 1970."""
