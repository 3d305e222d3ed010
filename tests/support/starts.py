"""What the processes of `serve` import, as they do it."""

_START = """
import atexit, contextlib
import integrations_api.cli.main{command}
from integrations_api.cli.starting import quick_start
life = contextlib.ExitStack()
life.enter_context(quick_start())
atexit.register(life.close)
import {parts}
"""

ANSWERING = _START.format(
    command=", integrations_api.cli.commands",
    parts="integrations_api.cli.serving, integrations_api.cli.answering, integrations_api.app",
)
"""Of the API."""
WORKING = _START.format(command="", parts="integrations_api.cli.working")
"""Of the worker that `serve` starts."""
