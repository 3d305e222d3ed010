"""Times as clients send them."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator

T = TypeVar("T", bound=datetime)
_WRONG = "must be a time such as 2026-03-01T10:30:00Z"


def _refuse_numbers(sent: Any) -> Any:
    try:
        float(sent)
    except (TypeError, ValueError):
        return sent
    raise ValueError(_WRONG)


def _refuse_what_no_calendar_has(moment: datetime) -> datetime:
    """The driver hands a moment on in UTC, and there the first and last hours of the calendar may have no date."""
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(_WRONG) from None
    return moment


WrittenTime = Annotated[T, BeforeValidator(_refuse_numbers), AfterValidator(_refuse_what_no_calendar_has)]
"""`WrittenTime[AwareDatetime]`: a date and time in words of ISO 8601. Without this, Pydantic takes any number for the
seconds or milliseconds since 1970."""
