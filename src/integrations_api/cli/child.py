"""A worker or another part as a supervised child process: started again when it dies, ended with its parent."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress

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

    `environment` is added to ours; `descriptors` are open files that the child has, too, by the same numbers.
    A child may import its parts, and wait on its standard input for the word to begin, which is `release`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str = "worker",
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
        first_pause: float = FIRST_PAUSE,
        goodbye: float = GOODBYE,
    ) -> None:
        self._command = list(command)
        self._name = name
        self._environment = {**os.environ, **(environment or {})}
        self._descriptors = tuple(descriptors)
        self._first_pause = first_pause
        self._goodbye = goodbye
        self._released = asyncio.Event()
        self._stopping = asyncio.Event()
        self._process: Process | None = None

    def release(self) -> None:
        """Gives the child, and each that comes after it, the word to begin: what it needs is there."""
        self._released.set()

    def stop(self) -> None:
        """Asks the child to hand over what it does; `run` returns when it has ended. Twice is fine."""
        self._stopping.set()

    def kill(self) -> None:
        """Ends the child at once; its runs go on elsewhere after their heartbeat has run out."""
        self._stopping.set()
        with suppress(ProcessLookupError):
            if self._process is not None:
                self._process.kill()

    async def run(self) -> None:
        """Keeps the child running until `stop`."""
        pause = self._first_pause
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY:
                pause = self._first_pause
            log.error(f"serve.{self._name}_died", exit_code=code, starts_again_in_seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run_once(self) -> int:
        """One life of the child; its exit code. It holds no terminal, so that Ctrl-C reaches it only through us."""
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            start_new_session=True,
            env=self._environment,
            pass_fds=self._descriptors,
        )
        word = asyncio.create_task(self._give_word(process))
        ended = asyncio.create_task(process.wait())
        asked = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            word.cancel()
            asked.cancel()
            if not ended.done():
                await self._end(process, ended)
        return await ended

    async def _give_word(self, process: Process) -> None:
        assert process.stdin is not None
        await self._released.wait()
        process.stdin.write(b"\n")
        log.info(f"serve.{self._name}_started", pid=process.pid)

    async def _end(self, process: Process, ended: "asyncio.Task[int]") -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait({ended}, timeout=self._goodbye)
        if not ended.done():
            log.warning(f"serve.{self._name}_killed", pid=process.pid)
            with suppress(ProcessLookupError):
                process.kill()
