"""One child process kept running: started, restarted when it dies, replaced when it changed, ended with its group.

The runner opens the child's port and passes the listening socket on, as systemd does for the services that it starts:
gunicorn and our own servers serve on file descriptor 3 where LISTEN_PID is their process. So the port stays open while
one process replaces another, and connections wait in the socket's queue.
https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from deploy.dev.supervisor import processes, reaper

FIRST_WAIT_SECONDS: Final = 0.25
LONGEST_WAIT_SECONDS: Final = 10.0
"""The wait before a restart: it doubles with each failure in a row."""
SETTLED_SECONDS: Final = 10.0
CHUNK_BYTES: Final = 262_144
GATHER_SECONDS: Final = 0.05
"""Lines of a busy child are read together. A pipe holds 64 KB: 4,000 lines a second of 300 bytes each."""
CANNOT_START: Final = 127  # as a shell says it
BACKLOG: Final = 2048
"""The connections that wait while no process serves; gunicorn's own number."""
_WITH_SOCKET: Final = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&0 0</dev/null'
"""Started with the socket as standard input, the shell moves it to file descriptor 3 and becomes the child's program.

So LISTEN_PID can be the program's own process id.
"""

AppendLines = Callable[[str, Sequence[str]], None]
"""Takes the child's name and lines of its output."""
Say = Callable[[str, str], None]
"""Takes a severity and a text."""


class Runner:
    """A child process.

    failures      how often it ended by itself without a run of SETTLED_SECONDS in between
    stop_seconds  how long it may take to end before it is killed
    """

    def __init__(
        self,
        child: processes.Child,
        root: Path,
        link: "ReaperLink",
        append_lines: AppendLines,
        say: Say,
        stop_seconds: float = reaper.GRACE_SECONDS,
    ) -> None:
        self.child = child
        self.stop_seconds = stop_seconds
        self._root = root
        self._link = link
        self._append_lines = append_lines
        self._say = say
        self.failures = 0
        self._process: asyncio.subprocess.Process | None = None
        self._listener: socket.socket | None = None
        self._interrupted = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Run until `stop`.

        A fault in `append_lines` ends the child, which would block unread, and is raised in an ExceptionGroup.
        """
        try:
            while not self._stopping:
                self._interrupted.clear()
                started = time.monotonic()
                try:
                    code = await self._run_once()
                except OSError as error:
                    self._say("ERROR", f"{self.child.name} cannot be started: {error.strerror}")
                    code = CANNOT_START
                if not self._interrupted.is_set():
                    await self._wait_after(code, time.monotonic() - started)
        finally:
            self.close_port()

    async def replace(self, child: processes.Child) -> None:
        """End the process that runs; `run` starts the new one at once."""
        self.child = child
        self.failures = 0
        self._interrupted.set()
        await self._end()

    def take_port(self, other: "Runner") -> None:
        """Take the open port of a runner that is about to stop, so that connections wait for this one."""
        self._listener, other._listener = other._listener, None

    async def stop(self) -> None:
        self._stopping = True
        self._interrupted.set()
        await self._end()

    def kill(self) -> None:
        self._stopping = True
        self._interrupted.set()
        if self._process:
            reaper.signal_group(self._process.pid, signal.SIGKILL)

    async def _run_once(self) -> int:
        self._listener = self._listener or self._open_port()
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            try:
                process = await asyncio.create_subprocess_exec(
                    *("sh", "-c", _WITH_SOCKET, "sh", *self.child.command),
                    cwd=self._root,
                    env=self.child.environ,
                    stdin=self._listener.fileno(),
                    stdout=write_end,
                    stderr=write_end,
                    start_new_session=True,
                )
            finally:
                os.close(write_end)
            self._link.watch(process.pid)
            self._process = process
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen(pipe))
                    if self._interrupted.is_set():  # while it was being started
                        reaper.signal_group(process.pid, signal.SIGTERM)
                    code = await process.wait()
                    reaper.signal_group(process.pid, signal.SIGKILL)  # a worker that outlived its master would serve on
            finally:
                if process.returncode is None:
                    reaper.signal_group(process.pid, signal.SIGKILL)
                self._process = None
                self._link.forget(process.pid)
        return code

    async def _listen(self, pipe: BinaryIO) -> None:
        """Append the lines of the child's output until no process holds it.

        The pipe is not asyncio's, which would not tell that the process has ended while another one holds its output.
        """
        # Lines wait in the pipe, not in a buffer that wakes this process for each.
        stream = asyncio.StreamReader(limit=1)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        rest = b""
        with contextlib.closing(transport):
            while chunk := await stream.read(CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                if lines:
                    self._append_lines(self.child.name, [line.decode(errors="replace") for line in lines])
                await asyncio.sleep(GATHER_SECONDS)
        if rest:
            self._append_lines(self.child.name, [rest.decode(errors="replace")])

    async def _wait_after(self, code: int, ran_seconds: float) -> None:
        self.failures = 1 if ran_seconds >= SETTLED_SECONDS else self.failures + 1
        wait_seconds = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (self.failures - 1))
        self._say("ERROR", f"{self.child.name} {exit_description(code)}; restarting in {wait_seconds:g} s")
        if self.failures > 1:
            self.close_port()  # so that clients hear at once that nothing serves
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._interrupted.wait(), wait_seconds)

    def _open_port(self) -> socket.socket:
        """Raises OSError."""
        address = (self.child.host, self.child.port)
        if ":" not in self.child.host:
            return socket.create_server(address, backlog=BACKLOG)
        is_dual = socket.has_dualstack_ipv6()  # `::` serves IPv4 too
        return socket.create_server(address, family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=is_dual)

    def close_port(self) -> None:
        """Let no connection wait for the process."""
        if self._listener:
            self._listener.close()
            self._listener = None

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        reaper.signal_group(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), self.stop_seconds)
        except TimeoutError:
            reaper.signal_group(process.pid, signal.SIGKILL)


class ReaperLink:
    """The pipe to the reaper.

    The groups given to `watch` end when this process does, even if it is killed. Then the folder `sockets` is deleted.
    """

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._groups: set[int] = set()

    def __enter__(self) -> Self:
        self._start()
        return self

    def _start(self) -> None:
        # A session of its own: neither Ctrl-C nor a kill of our group reaches it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, str(self._sockets)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        for group in self._groups:
            self._write(f"+{group}\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def watch(self, group: int) -> None:
        self._groups.add(group)
        self._write(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._groups.discard(group)
        self._write(f"-{group}\n")

    def require_reaper(self) -> None:
        """Start another reaper if somebody killed it."""
        if self._process.poll() is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._start()

    def _write(self, line: str) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # somebody killed it: `require_reaper` starts another one
            self._process.stdin.write(line.encode())


def exit_description(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
