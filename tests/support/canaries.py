"""Planted secrets, what left the service, and the search of one in the other."""

import base64
import html
import json
import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

from integrations_api.db.embedded_cluster import find_binaries
from integrations_api.db.engine import asyncpg_dsn

SPELLINGS = 14
"""How many spellings of each secret are searched for; those that read alike count as often."""


@dataclass
class Canaries:
    """Everything secret, and everything that left, by where it was seen."""

    secrets: dict[str, str] = field(default_factory=dict)
    left: list[tuple[str, str]] = field(default_factory=list)

    def plant(self, name: str, value: str) -> str:
        self.secrets[name] = value
        return value

    def saw(self, where: str, text: str) -> None:
        """Something that left; it is searched when all secrets are known."""
        if (where, text) not in self.left[-100:]:
            self.left.append((where, text))

    def leaks(self) -> list[str]:
        """Which secrets are where, in any spelling in which they could be."""
        return [
            f"{name} in {where}"
            for name, value in self.secrets.items()
            for where, text in self.left
            if any(spelt in text for spelt in spellings(value))
        ]


def spellings(value: str) -> list[str]:
    """The secret as URLs, JSON (once and twice), HTML, hexadecimal and base64 write it, and backwards."""
    raw = value.encode()
    escaped = json.dumps(value)[1:-1]
    # A base64 text can begin at any of three offsets; the middle of it is the same whatever stands around.
    shifted = [base64.b64encode(b"x" * n + raw).decode()[4:-4] for n in range(3)]
    url_safe = base64.urlsafe_b64encode(raw).decode()[4:-4]
    return [
        value, value[::-1], quote(value, safe=""), quote(value, safe="").replace("%2F", "%2f"), quote_plus(value),
        escaped, json.dumps(escaped)[1:-1], html.escape(value), raw.hex(), raw.hex().upper(), *shifted, url_safe,
    ]  # fmt: skip


def dumps(database_url: str) -> dict[str, str]:
    """A whole dump of the database in each shape that PostgreSQL writes, nothing of it compressed."""
    shapes = {"dump": [], "dump as INSERTs": ["--inserts"], "dump of the custom format": ["-Fc", "-Z0"]}
    return {name: _dump(database_url, *options) for name, options in shapes.items()}


def _dump(database_url: str, *options: str) -> str:
    program = find_binaries() / "pg_dump"
    done = subprocess.run(
        [program, "--dbname", asyncpg_dsn(database_url), *options],
        capture_output=True,
        check=True,
        timeout=60,
        env=os.environ | {"LC_ALL": "C"},
    )
    return done.stdout.decode("utf-8", "replace")


def processes_shown(folder: Path) -> str:
    """What everybody on the machine sees of the processes that work in the folder: arguments and titles."""
    shown = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.joinpath("cwd").readlink().is_relative_to(folder):
                shown += [entry.joinpath(name).read_bytes().decode("utf-8", "replace") for name in ("cmdline", "comm")]
    return "\n".join(shown)
