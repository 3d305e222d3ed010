"""`integrations-api serve` as a child process of the demo."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from integrations_api.cli.child import own_command
from integrations_api.errors import ApplicationError

PATIENCE = 15.0
"""Seconds; `serve` itself needs less than ten."""
_SAYS = "integrations-api: "


class Service:
    """A context manager: API and worker, their log in a file; both end with it, and with this process."""

    def __init__(self, *, settings: Mapping[str, str], log: Path) -> None:
        self._log = log
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            self._process = subprocess.Popen(  # nosec B603 # noqa: S603 (our own command, no shell)
                own_command("serve", "--with-parent"),
                stdin=subprocess.PIPE, stdout=output, stderr=output,
                env={**os.environ, **settings}, start_new_session=True,
            )  # fmt: skip

    def check(self) -> None:
        """Raises `ApplicationError` with the service's own last words if it has ended."""
        if self._process.poll() is not None:
            raise ApplicationError(self._last_words())

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        said = [line.removeprefix(_SAYS) for line in lines if line.startswith(_SAYS)]
        return said[-1] if said else f"The service ended unexpectedly: see {self._log}"

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
