"""The raw records of the latest fetch as one JSON array in a file, for debugging, as the contract promises."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import IO

from integrations_api.db.engine import Sessions
from integrations_api.knowledge import staging
from integrations_api.sync.journal import Journal

SAVED_AT_ONCE = 10_000
"""Raw records written into the file between two steps: millions take longer than a run may stand still."""


async def raw_texts_of(journal: Journal, sessions: Sessions) -> AsyncGenerator[str, None]:
    """All that the journal's run has read, and a step of it now and then. Raises `HandOver` where it is to stop."""
    async with aclosing(staging.raw_texts(sessions, journal.run.id)) as texts:
        saved = 0
        async for one in texts:
            yield one
            saved += 1
            if saved % SAVED_AT_ONCE == 0:
                await journal.note()
                journal.come_to_boundary()


async def write_raw_file(path: Path, records: AsyncIterator[str]) -> str | None:
    """Writes beside and renames into place, mode 0600. Returns the words of a warning when the path is unwritable.

    What is broken off leaves nothing behind, unless the process is killed: see `raw_files`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{id(records):x}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            await _write_array(file, records)
        beside.replace(path)
    except OSError as error:
        return f"The raw records were not saved to {path}: {error.strerror}"
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return None


def raw_files(path: Path) -> list[Path]:
    """This machine's file, and those beside it that are being written or that processes left when they were killed."""
    return [path, *path.parent.glob(f".{escape(path.name)}.*")]


def written_at(path: Path) -> datetime | None:
    """When a file was written; None where there is none, or none that can be seen."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


async def _write_array(file: IO[str], records: AsyncIterator[str]) -> None:
    separator = "[\n"
    buffered: list[str] = []
    async for record in records:
        buffered.append(f"{separator}{record}")
        separator = ",\n"
        if len(buffered) >= 500:
            await asyncio.to_thread(file.write, "".join(buffered))
            buffered.clear()
    buffered.append("[]\n" if separator == "[\n" else "\n]\n")
    await asyncio.to_thread(file.write, "".join(buffered))
