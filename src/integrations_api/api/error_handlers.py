"""What becomes of each error: an answer in the envelope with a true status."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc as database
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from integrations_api.api.problems import BodyProblem, body_problem, problems_of
from integrations_api.api.refusals import error_response
from integrations_api.api.routes import allowed_methods
from integrations_api.db.engine import (
    cause_of,
    is_contended,
    is_disk_full,
    is_forbidden,
    is_full,
    is_lost_connection,
    is_read_only,
    is_shut_out,
)
from integrations_api.errors import (
    ApplicationError,
    Conflict,
    InvalidInput,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from integrations_api.logs import get_logger
from integrations_api.vault.errors import VaultError

log = get_logger(__name__)

NoteDenial = Callable[[PermissionDenied], Awaitable[None]]

_STATUS: Mapping[type[ApplicationError], int] = {
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    InvalidInput: 422,
    TooManyRequests: 429,
    Unavailable: 503,
    VaultError: 503,
}
_RETRY_UNAVAILABLE = 5
"""Seconds after which asking again makes sense when something we need is away."""

_AWAY: tuple[type[Exception], ...] = (
    database.DBAPIError,
    database.TimeoutError,
    asyncpg.PostgresError,
    ConnectionError,
    TimeoutError,
)
"""Among what is raised as these is what a request meets when PostgreSQL is restarting, full, slow or unreachable; the
last one when it does not let us in within the time to connect.
"""


def install_error_handlers(app: FastAPI, *, note_denial: NoteDenial | None = None) -> None:
    """Every error leaves in the envelope with a true status; defects are left to the request middleware.

    Wherever in a request somebody is denied something, `note_denial` writes that down before he is told.
    """
    app.add_exception_handler(ApplicationError, _application_error)
    if note_denial is not None:
        app.add_exception_handler(PermissionDenied, _denied_by(note_denial))
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    for away in _AWAY:
        app.add_exception_handler(away, _database_away)


def response_for(error: ApplicationError) -> JSONResponse | None:
    """The answer for an error a caller can be told about; None for one that is ours alone (a 500)."""
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), None)
    if status is None:
        return None
    problems = error.problems if isinstance(error, InvalidInput) else ()
    return error_response(status, error.message, problems=problems, headers=_headers_for(error))


def _headers_for(error: ApplicationError) -> dict[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, Unavailable):
        return {"Retry-After": str(_RETRY_UNAVAILABLE)}
    return {}


async def _application_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApplicationError)
    response = response_for(error)
    if response is None:
        raise error
    return response


def _denied_by(note_denial: NoteDenial) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def denied(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PermissionDenied)
        try:
            if error.by is not None:
                await note_denial(error)
        except _AWAY as away:
            return await _database_away(request, away)
        return await _application_error(request, error)

    return denied


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problem = body_problem(request)
    if problem is not None:
        return error_response(problem.status, problem.message, problems=problem.fields)
    invalid = InvalidInput.of(problems_of(error.errors()))
    return error_response(422, invalid.message, problems=invalid.problems)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """FastAPI's and Starlette's own errors, in our words; the headers (Allow) are kept."""
    assert isinstance(error, HTTPException)
    headers: dict[str, Any] = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(allowed_methods(request))
    if error.status_code == 400:  # A form that cannot be parsed: malformed input is a 422 here.
        malformed = BodyProblem.malformed("cannot be read as the form it claims to be")
        return error_response(422, malformed.message, problems=malformed.fields, headers=headers)
    return error_response(error.status_code, _WORDS.get(error.status_code, str(error.detail)), headers=headers)


_WORDS = {
    404: "There is no such route",
    405: "This route does not know that method",
}


async def _database_away(_: Request, error: Exception) -> JSONResponse:
    """What trying again or an operator may cure is a 503 that says so; anything else is a defect of ours."""
    if is_forbidden(error):
        log.error("request.database_forbids", error=str(cause_of(error)))
        return error_response(503, "The database refuses this service a right: `integrations-api doctor` says which")
    if not (isinstance(error, database.OperationalError | database.InterfaceError) or is_lost_connection(error)):
        raise error
    log.warning("request.database_away", error=type(cause_of(error)).__name__)
    return error_response(503, _away_words(error), headers={"Retry-After": str(_RETRY_UNAVAILABLE)})


def _away_words(error: Exception) -> str:
    if is_disk_full(error):
        return "The database has no space left, so nothing was changed; reading goes on, try again later"
    if is_full(error):
        return "The database takes no more connections; try again soon"
    if is_read_only(error):
        return "The database can only be read at the moment, so nothing was changed; try again later"
    if is_contended(error):
        return "Others are changing the same at this moment, so nothing was changed; try again soon"
    if is_shut_out(error):
        return "The database does not let this service in: `integrations-api doctor` says why"
    if isinstance(error, database.TimeoutError):
        return "All database connections of this process are busy; try again soon"
    return "The database does not answer; try again soon"


async def _client_left(_: Request, __: Exception) -> JSONResponse:
    """Nobody reads this; without it a client that hangs up mid-body would be logged as a defect of ours."""
    return error_response(422, "body: was cut off")
