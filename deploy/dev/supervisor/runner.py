"""One child process kept running: started, restarted when it dies, replaced when it changed, ended with its group."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deploy.dev.supervisor import reaper
from deploy.dev.supervisor.processes import Child
from deploy.dev.supervisor.reaper import GRACE_SECONDS, signal_group

FIRST_SECONDS: Final = 0.25
LONGEST_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 10.0
CHUNK_BYTES: Final = 262_144
GATHER_SECONDS: Final = 0.05
"""Lines of a busy child are read together. A pipe holds 64 KB: 4,000 lines a second of 300 bytes each."""
CANNOT_START: Final = 127  # as a shell says it

AppendLines = Callable[[str, Sequence[str]], None]
"""Takes the child's name and lines of its output."""
Say = Callable[[str, str], None]
"""Takes a severity and a text."""


class Runner:
    """A child process. `failures`: how often in a row it died soon after its start."""

    def __init__(self, child: Child, root: Path, link: "ReaperLink", append_lines: AppendLines, say: Say) -> None:
        self.child = child
        self._root = root
        self._link = link
        self._append_lines = append_lines
        self._say = say
        self._backoff = Backoff()
        self._process: asyncio.subprocess.Process | None = None
        self._replaced = asyncio.Event()
        self._stopping = False

    @property
    def failures(self) -> int:
        return self._backoff.failures

    async def run(self) -> None:
        """Run until `stop`. A fault in `append_lines` ends the child, which would block unread, and is raised."""
        while not self._stopping:
            self._replaced.clear()
            started = time.monotonic()
            try:
                code = await self._run_once()
            except OSError as error:
                self._say("ERROR", f"{self.child.command[0]} cannot be started: {error.strerror}")
                code = CANNOT_START
            if not self._replaced.is_set():
                await self._wait_after(code, time.monotonic() - started)

    async def replace(self, child: Child) -> None:
        """End the process that runs; `run` starts the new one."""
        self.child = child
        self._backoff = Backoff()
        self._replaced.set()
        await self._end()

    async def stop(self) -> None:
        self._stopping = True
        self._replaced.set()
        await self._end()

    def kill(self) -> None:
        self._stopping = True
        self._replaced.set()
        if self._process:
            signal_group(self._process.pid, signal.SIGKILL)

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self.child.command,
            cwd=self._root,
            env=self.child.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1,  # lines wait in the pipe, not in a buffer that wakes this process for each
            start_new_session=True,
        )
        self._link.watch(process.pid)
        self._process = process
        assert process.stdout
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(process.stdout))
                if self._replaced.is_set():  # while it was being started
                    signal_group(process.pid, signal.SIGTERM)
                code = await process.wait()
                signal_group(process.pid, signal.SIGKILL)  # a worker that outlived its master would keep the port
        finally:
            if process.returncode is None:
                signal_group(process.pid, signal.SIGKILL)
            self._process = None
            self._link.forget(process.pid)
        return code

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if lines:
                self._append_lines(self.child.name, [line.decode(errors="replace") for line in lines])
            await asyncio.sleep(GATHER_SECONDS)
        if rest:
            self._append_lines(self.child.name, [rest.decode(errors="replace")])

    async def _wait_after(self, code: int, ran_seconds: float) -> None:
        self._backoff = self._backoff.after(ran_seconds)
        wait_seconds = self._backoff.wait_seconds
        self._say("ERROR", f"{self.child.name} {exit_description(code)}; restarting in {wait_seconds:g} s")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._replaced.wait(), wait_seconds)

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        signal_group(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), GRACE_SECONDS)
        except TimeoutError:
            signal_group(process.pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The wait before a restart, after `failures` in a row, each before the process had run for SETTLED_SECONDS."""

    failures: int = 0

    def after(self, ran_seconds: float) -> "Backoff":
        return Backoff(1 if ran_seconds >= SETTLED_SECONDS else self.failures + 1)

    @property
    def wait_seconds(self) -> float:
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** (self.failures - 1)) if self.failures else 0.0


class ReaperLink:
    """The pipe to the reaper. The groups given to `watch` end when this process does; then `sockets` is removed."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets

    def __enter__(self) -> Self:
        # A session of its own: neither Ctrl-C nor a kill of our group reaches it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, str(self._sockets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def watch(self, group: int) -> None:
        self._write(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line)
        self._process.stdin.flush()


def exit_description(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
