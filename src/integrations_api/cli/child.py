"""A worker or another part as a supervised child process: started again when it dies, ended with its parent."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from integrations_api.logs import get_logger

log = get_logger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
STEADY = 60.0
"""Seconds after which a process that died is taken to have worked: the next pause is the first again."""
GOODBYE = 8.0
"""Seconds a worker may take to hand over its runs; a little more than it grants itself."""


WORKER_BESIDE = ["worker", "--with-parent"]
"""The command of the worker that `serve` starts."""


def own_command(*arguments: str) -> list[str]:
    """This program, run by this Python; `-P`, so that the current folder cannot put a module in the way."""
    return [sys.executable, "-P", "-m", "integrations_api", *arguments]


class Child:
    """Settings reach the child as they reached us: by the environment, `.env` and the data folder's key file.

    `descriptors` are open files that the child has, too, by the same numbers. A child may import its parts, and wait on
    its standard input for the word to begin, which is `release`; by `word` it is told what only we know, as JSON.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str = "worker",
        descriptors: Sequence[int] = (),
        first_pause: float = FIRST_PAUSE,
        goodbye: float = GOODBYE,
    ) -> None:
        self.word: dict[str, str] = {}
        self._command = list(command)
        self._name = name
        self._descriptors = tuple(descriptors)
        self._first_pause = first_pause
        self._goodbye = goodbye
        self._released = asyncio.Event()
        self._stopping = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Starts the child at once, before there is a loop, for `run` to go on with; in the end it is gone."""
        with self._start() as process:
            self._process = process
            try:
                yield
            finally:
                process.kill()

    def release(self) -> None:
        """Gives the child, and each that comes after it, the word to begin: what it needs is there."""
        self._released.set()

    def stop(self) -> None:
        """Asks the child to hand over what it does; `run` returns when it has ended. Twice is fine."""
        self._stopping.set()

    def kill(self) -> None:
        """Ends the child at once; its runs go on elsewhere after their heartbeat has run out."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    async def run(self) -> None:
        """Keeps the child running until `stop`."""
        pause = self._first_pause
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                code = await self._run_once(self._process or self._start())
            except (OSError, RuntimeError) as error:  # No memory, process or thread is left for it at the moment.
                log.warning(f"serve.{self._name}_not_started", error=str(error), starts_again_in_seconds=pause)
            else:
                self._process = None
                if self._stopping.is_set():
                    return
                if time.monotonic() - began > STEADY:
                    pause = self._first_pause
                log.error(f"serve.{self._name}_died", exit_code=code, starts_again_in_seconds=pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE)

    def _start(self) -> subprocess.Popen[bytes]:
        """One more life. It holds no terminal, so that Ctrl-C reaches it only through us."""
        return subprocess.Popen(  # nosec B603 # noqa: S603 - our own program
            self._command, bufsize=0, stdin=subprocess.PIPE, start_new_session=True, pass_fds=self._descriptors
        )

    async def _run_once(self, process: subprocess.Popen[bytes]) -> int:
        """The child's exit code, when it has ended."""
        self._process = process
        ended = _end_of(process)
        word = asyncio.create_task(self._give_word(process))
        asked = asyncio.create_task(self._stopping.wait())
        either: list[asyncio.Future[Any]] = [ended, asked]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            word.cancel()
            asked.cancel()
            if not ended.done():
                await self._end(process, ended)
        return await ended

    async def _give_word(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        await self._released.wait()
        with suppress(OSError, ValueError):  # It has just died, or that was noticed already.
            process.stdin.write(json.dumps(self.word).encode() + b"\n")
        log.info(f"serve.{self._name}_started", pid=process.pid)

    async def _end(self, process: subprocess.Popen[bytes], ended: "asyncio.Future[int]") -> None:
        process.terminate()
        await asyncio.wait({ended}, timeout=self._goodbye)
        if not ended.done():
            log.warning(f"serve.{self._name}_killed", pid=process.pid)
            process.kill()


def _end_of(process: subprocess.Popen[bytes]) -> "asyncio.Future[int]":
    """The exit code, when there is one. In a thread of its own: the loop's few threads have other things to do."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def wait() -> None:
        with process:  # Closes our end of its standard input.
            code = process.wait()
        with suppress(RuntimeError):  # The loop has ended before.
            loop.call_soon_threadsafe(ended.set_result, code)

    threading.Thread(target=wait, name=f"child-{process.pid}", daemon=True).start()
    return ended


@contextmanager
def worker_beside() -> Iterator[Child]:
    """A worker that imports its parts already, while `serve` does, and waits for the word to begin."""
    worker = Child(own_command(*WORKER_BESIDE))
    with worker.begun():
        yield worker
