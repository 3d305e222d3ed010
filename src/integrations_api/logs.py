"""Structured logging: every line is an event with facts, as text for people or JSON for machines.

Ids (`request_id`, `run_id`, …) are bound once per request or run, in a context variable.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Literal, TextIO, cast

from integrations_api.imports import without

with without("rich"):  # structlog would show tracebacks by it: ours are plain.
    import structlog
    from structlog.typing import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

LogFormat = Literal["text", "json"]

_SILENT = ("httpx", "httpcore", "uvicorn.access", "sse_starlette", "asyncio", "passlib", "alembic.runtime.plugins")
"""Libraries that are heard from WARNING on, whatever LOG_LEVEL says: httpx tells every URL, which may hold what is
secret; uvicorn's access lines repeat our request lines; the others tell of themselves."""
_CHATTY = ("pgqueuer",)
"""The same, unless DEBUG is asked for: what they tell of a job is told by the run's own lines."""


_NEEDS_QUOTES = re.compile(r"""[ \t=\r\n"']""")
_bound: ContextVar[dict[str, Any]] = ContextVar("bound_facts", default={})  # noqa: B039 - never changed, only replaced
"""One for all facts: structlog has one for each, and looks through all variables there are at every line."""


class AlreadyLogged(Exception):
    """Raised onwards only so that somebody acts on it; what happened stands in the log. No line is written of it."""


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of one module."""
    return cast(FilteringBoundLogger, structlog.get_logger(name))


def configure_logging(*, log_format: LogFormat, level: str) -> None:
    """Sends our events and those of libraries (uvicorn, sqlalchemy, pgqueuer) to stderr in one shape."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Lines(_renderer(log_format))]
    root.setLevel(level)
    _quieten_libraries(root.level)


def writes_json() -> bool:
    """Whether lines are JSON, for what a process says last; False before logging is set up."""
    lines = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Lines)]
    return any(isinstance(one, structlog.processors.JSONRenderer) for each in lines for one in each.renderers)


class _Lines(logging.StreamHandler[TextIO]):
    """Writes records of libraries to stderr, and our own events in the same shape without a record of each.

    To make a record and to look for who calls took a third of the time of a request's line: bench/api.py.
    """

    def __init__(self, renderers: list[Processor]) -> None:
        super().__init__(sys.stderr)
        self.renderers = renderers
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[*_FACTS, structlog.stdlib.ExtraAdder(), _escape_control_characters],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            )
        )
        self.addFilter(lambda record: _is_news(record.exc_info))

    def tell(self, logger: WrappedLogger, method: str, event: EventDict) -> None:
        """Writes an event; trouble in doing so is no trouble of whoever tells it, as with records."""
        if not _is_news(event.get("exc_info")):
            return
        told: Any = event
        try:
            for render in self.renderers:
                told = render(logger, method, told)
            with self.lock or nullcontext():
                self.stream.write(told + self.terminator)
                self.flush()
        except Exception:
            self.handleError(logging.makeLogRecord({"msg": event.get("event")}))


def _write(logger: WrappedLogger, method: str, event: EventDict) -> Any:
    """The last step of an event of ours; where others listen to records too (pytest does), it becomes one."""
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], _Lines):
        handlers[0].tell(logger, method, event)
        raise structlog.DropEvent
    return structlog.stdlib.ProcessorFormatter.wrap_for_formatter(logger, method, event)


def _renderer(log_format: LogFormat) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    if sys.stderr and sys.stderr.isatty():  # There is none where whoever starts us has closed it.
        return [structlog.dev.ConsoleRenderer(colors=True, exception_formatter=_write_traceback)]
    return [structlog.dev.ConsoleRenderer(columns=_plain_columns(), exception_formatter=_write_traceback)]


def _plain_columns() -> list[structlog.dev.Column]:
    """A line without colours as structlog writes it; its own way puts an empty colour around each part."""
    return [
        structlog.dev.Column("", _fact),
        structlog.dev.Column("timestamp", lambda _, moment: f"{moment!s}"),
        structlog.dev.Column("level", lambda _, level: f"[{level!s:<9}]"),
        structlog.dev.Column("event", lambda _, event: f"{event!s:<30}"),
        structlog.dev.Column("logger", lambda _, name: f"[{name!s}]"),
    ]


def _fact(key: str, value: object) -> str:
    is_plain = isinstance(value, str) and not _NEEDS_QUOTES.search(value)
    return f"{key}={value if is_plain else repr(value)}"


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    """Plain, for the default prints the values of local variables, which may be secrets.

    Every line begins with a bar: what an exception quotes cannot pass for a line of the log.
    """
    for line in "".join(traceback.format_exception(*error)).splitlines():
        out.write(f"\n  | {_printable(line)}")


def _is_news(exc_info: Any) -> bool:
    if not exc_info:
        return True
    error = exc_info[1] if isinstance(exc_info, tuple) else sys.exception()
    return not isinstance(error, AlreadyLogged)


def _quieten_libraries(level: int) -> None:
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if level <= logging.DEBUG else logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def _escape_control_characters(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A value with line breaks or terminal codes must not be able to forge a second log line."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception" and not value.isprintable():
            event[key] = _printable(value)
    return event


def _printable(value: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in value)


def bind(**facts: Any) -> None:
    """Adds facts to every line logged from here on in this task."""
    _bound.set(_bound.get() | facts)


@contextmanager
def bound(**facts: Any) -> Iterator[None]:
    """Adds facts to every line logged meanwhile. What is bound in between is let go in the end, too."""
    before = _bound.get()
    bind(**facts)
    try:
        yield
    finally:
        _bound.set(before)


def merge_bound(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Adds the bound facts to an event; its own come first."""
    for key, value in _bound.get().items():
        event.setdefault(key, value)
    return event


_FACTS: list[Processor] = [
    merge_bound,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_PROCESSORS: list[Processor] = [structlog.stdlib.filter_by_level, *_FACTS, _escape_control_characters, _write]
"""One list for the life of the process: loggers keep the one they first met."""
