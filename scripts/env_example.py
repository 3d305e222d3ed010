"""Writes `.env.example` from the settings themselves: each with its sentence and its default."""

import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

from integrations_api.settings import Settings

_HEAD = """\
# Settings of the service. Copy this file to .env and take the # from the lines that you change; variables of the
# environment win over .env. What is shown is the default. There are no sample secrets, for none would be safe:
# `integrations-api secrets generate` prints fresh ones.
"""
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_TAIL = """
# For docker-compose.yml alone, which needs SECRET_KEY and ENCRYPTION_KEYS above, too: the password it gives the
# database, letters and digits only.
#POSTGRES_PASSWORD=
"""


def render() -> str:
    """The whole file: one block per setting, in the order of `Settings`."""
    blocks = []
    for name, field in Settings.model_fields.items():
        sentence = textwrap.fill(field.description or "", 110, initial_indent="# ", subsequent_indent="# ")
        default = field.get_default(call_default_factory=True, validated_data={})
        blocks.append(f"\n{sentence}\n#{name.upper()}={_in_words(default)}\n")
    return _HEAD + "".join(blocks) + _TAIL


def _in_words(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, timedelta):
        seconds = int(default.total_seconds())
        units = (unit for unit in _UNITS if seconds and seconds % _UNITS[unit] == 0)
        unit = next(units, "s")
        return f"{seconds // _UNITS[unit]}{unit}"
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default)


if __name__ == "__main__":
    (Path(__file__).parents[1] / ".env.example").write_text(render(), encoding="utf-8")
