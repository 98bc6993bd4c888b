"""What the kill test does to the pipe, and its notes of when: they alone excuse a second copy of a mail."""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from shared.jsontext import JsonObject
from tests.kill.checker import Disturbance
from tests.kill.proxy import Network
from tests.running.stack import Stack

FAULTS: Final[JsonObject] = {"bus": {"duplicate": 0.05, "nack": 0.05}}
BACK_SECONDS: Final = 30.0
HOUR: Final = 3_600.0
MOST_MEBIBYTES: Final = 512
DRAIN_SECONDS: Final = 2.0
"""So long after a partition or a pause what was held by it may still be arriving, on a busy machine."""


class Clock:
    """The wall clock of all the pipe's processes, off by what the file says (hooks/sitecustomize.py)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.step(0.0)

    @property
    def environ(self) -> dict[str, str]:
        return {"DISTURBED_CLOCK": str(self._path)}

    def step(self, offset_seconds: float) -> None:
        """Set how far it is ahead of the right time. In place, for the processes have mapped the file."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, struct.pack("d", offset_seconds), 0)
        finally:
            os.close(descriptor)


class Disk(Protocol):
    """What the state folder lies on."""

    def fill(self, stack: Stack) -> None: ...

    def free(self, stack: Stack) -> None: ...


class SmallDisk:
    """A file system in memory, whose size is changed while it is used. Only root may mount one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self, stack: Stack) -> None:
        give_up_at = time.monotonic() + BACK_SECONDS
        while True:  # it cannot become smaller than what is in it, which grows meanwhile
            used = os.statvfs(self._folder)
            size = (used.f_blocks - used.f_bfree) * used.f_frsize
            if _mount("-o", f"remount,size={size}", str(self._folder)):
                return
            assert time.monotonic() < give_up_at, "the disk of the state folder cannot be filled"

    def free(self, stack: Stack) -> None:
        assert _mount("-o", f"remount,size={MOST_MEBIBYTES}m", str(self._folder))


class LimitedFiles:
    """Without root: no process of the pipe may write to any file. SQLite says `disk I/O error` instead of `full`."""

    def fill(self, stack: Stack) -> None:
        self._limit(stack, 0)

    def free(self, stack: Stack) -> None:
        self._limit(stack, resource.RLIM_INFINITY)

    @staticmethod
    def _limit(stack: Stack, soft: int) -> None:
        for pid in [pid for name in ("transform", "notify", "apis") for pid in stack.pids(name)]:
            with contextlib.suppress(ProcessLookupError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def disk_of(folder: Path) -> Iterator[Disk | None]:
    """A disk to be filled; None where this machine offers no way to do it."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={MOST_MEBIBYTES}m,mode=0700", "hookchain-test", str(folder)]
    if sys.platform == "linux" and os.geteuid() == 0 and _mount(*options):
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        yield LimitedFiles() if hasattr(resource, "prlimit") else None


@dataclass(slots=True)
class Disturber:
    """Does one thing at a time to one part of the pipe, named as in stack.OFFSETS; `mail` is the way to the mails.

    What keeps notify from learning that a mail was taken, or from recording it, is noted: nothing else may lead to a
    second copy.
    """

    stack: Stack
    network: Network | None
    clock: Clock
    disk: Disk | None
    mail_port: int
    has_faults: bool = True
    noted: list[Disturbance] = field(default_factory=list)

    async def kill(self, name: str) -> None:
        """Every process of that part at once; where it is dead already, once it is back."""
        async with asyncio.timeout(BACK_SECONDS):
            began_at = time.monotonic()
            while not await asyncio.to_thread(self.stack.kill, name):
                await asyncio.sleep(0.2)
                began_at = time.monotonic()
            self._note("kill", name, began_at)
            while name == "apis" and self.has_faults and not await asyncio.to_thread(self.stack.trouble, FAULTS):
                await asyncio.sleep(0.1)

    async def pause(self, name: str, seconds: float) -> None:
        pids = await asyncio.to_thread(self.stack.pids, name)
        began_at = time.monotonic()
        try:
            _signal(pids, signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            _signal(pids, signal.SIGCONT)
        self._note("pause", name, began_at, delays=True)

    async def partition(self, name: str, seconds: float) -> None:
        """Nothing passes between that part and those that send to it."""
        assert self.network is not None
        port = self.mail_port if name == "mail" else self.stack.port(name)
        began_at = time.monotonic()
        self.network.cut(port)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.network.mend(port)
        self._note("partition", "notify" if name == "mail" else f"way to {name}", began_at, delays=True)

    async def fill_disk(self, seconds: float) -> None:
        assert self.disk is not None
        began_at = time.monotonic()
        try:
            await asyncio.to_thread(self.disk.fill, self.stack)
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(self.disk.free, self.stack)
        self._note("disk", "notify", began_at)

    async def step_clock(self, seconds: float) -> None:
        """An hour back, right again, and an hour ahead, where it stays: so that what waits till then is due."""
        for offset in (-HOUR, 0.0, HOUR):
            began_at = time.monotonic()
            self.clock.step(offset)
            self._note("clock", "every part", began_at)
            await asyncio.sleep(seconds)

    async def upgrade(self, upgrade: Callable[[], None]) -> None:
        """Stop every part and start it again. A stop finishes what is under way, so this excuses no second copy."""
        began_at = time.monotonic()
        await asyncio.to_thread(upgrade)
        self._note("upgrade", "every process", began_at)

    def _note(self, kind: str, name: str, began_at: float, delays: bool = False) -> None:
        worker = "" if name == "notify" else name  # the arrivals' worker: there is one notify
        ended_at = time.monotonic() + (DRAIN_SECONDS if delays else 0.0)
        self.noted.append(Disturbance(kind, began_at, ended_at, worker, delays))


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
