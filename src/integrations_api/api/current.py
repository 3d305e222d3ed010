"""What is known about the request being served: its id and where it came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

from integrations_api.logs import bound


class RequestContext(Struct, frozen=True):
    """One request: its id (the client's own, where that is sane) and the client's address."""

    request_id: str
    address: str | None


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current_request() -> RequestContext | None:
    """The request this task works for; None in workers and on the command line."""
    return _current.get()


@contextmanager
def serving(context: RequestContext) -> Iterator[None]:
    """Makes `context` the current request, for code and for log lines."""
    token = _current.set(context)
    try:
        with bound(request_id=context.request_id):
            yield
    finally:
        _current.reset(token)
