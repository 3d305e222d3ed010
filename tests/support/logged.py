"""The log as an operator's collector gets it: every line of JSON that is written meanwhile."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from integrations_api.logs import configure_logging

Line = dict[str, Any]


class Logged:
    """What has been written so far."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def close(self) -> None:
        """Nothing more can be written."""
        self._stream.close()

    @property
    def lines(self) -> list[Line]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def events(self, name: str) -> list[Line]:
        """The lines of one event, in order."""
        return [line for line in self.lines if line["event"] == name]

    def telling(self, words: str) -> list[Line]:
        """The lines in which words stand, tracebacks included."""
        return [line for line in self.lines if words in json.dumps(line)]


@contextmanager
def logged(level: str = "INFO") -> Iterator[Logged]:
    """Everything a process logs at `level`; afterwards the log is the tests' own again."""
    configure_logging(log_format="json", level=level)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    try:
        yield Logged(stream)
    finally:
        configure_logging(log_format="text", level="INFO")
