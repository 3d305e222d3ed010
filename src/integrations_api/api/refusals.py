"""Errors as answers, in the envelope."""

from collections.abc import Mapping, Sequence

from starlette.responses import JSONResponse

from integrations_api.api.envelope import ErrorEnvelope, FieldError
from integrations_api.errors import FieldProblem


def error_response(
    status: int,
    message: str,
    *,
    problems: Sequence[FieldProblem] = (),
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error in the envelope."""
    errors = [FieldError(field=problem.field, message=problem.message) for problem in problems]
    body = ErrorEnvelope(message=message, errors=errors or None, request_id=request_id)
    return JSONResponse(body.model_dump(exclude_none=True), status_code=status, headers=dict(headers or {}))


def internal_error(request_id: str) -> JSONResponse:
    """What a client learns of a defect: the id under which the log tells the rest."""
    return error_response(500, "Something went wrong on our side", request_id=request_id)
