"""Running, restarting and ending processes, with real ones."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.config.running_dev import HOST
from deploy.dev.supervisor import reaper
from deploy.dev.supervisor.processes import Child
from deploy.dev.supervisor.runner import ReaperLink, Runner
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, is_open

FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
SERVER = (
    "from deploy.dev.local_server import listening_socket\n"
    "listener = listening_socket(0)\n"  # the one that it was given
    "listener.setblocking(True)\n"
    "print('ready', flush=True)\n"
    "listener.accept()\n"
    "print('first', flush=True)\n"
    "listener.accept()\n"
)
MASTER = (
    "import os, subprocess, sys, time\n"
    "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(worker.pid, os.getpid(), flush=True)\n"
    "time.sleep(600)\n"
)
PARENT = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)\n"
)


class Recorder:
    """The output of a runner's child, and the messages of the runner."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.messages: list[str] = []
        self._more = asyncio.Event()

    def append_lines(self, name: str, lines: object) -> None:
        assert isinstance(lines, list)
        self.lines += lines
        self._more.set()

    def say(self, severity: str, text: str) -> None:
        self.messages.append(f"{severity} {text}")
        self._more.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self._more.clear()
                await self._more.wait()


def child(program: str, port: int = 0) -> Child:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Child("child", (sys.executable, "-c", program), environ, port, "/", ())


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def start(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Callable[[str], Runner]]:
    running: list[tuple[Runner, asyncio.Task[None]]] = []
    with ReaperLink(tmp_path / "sockets") as link:

        def begin(program: str) -> Runner:
            runner = Runner(child(program), tmp_path, link, recorder.append_lines, recorder.say)
            running.append((runner, asyncio.create_task(runner.run())))
            return runner

        yield begin
        for runner, task in running:
            await runner.stop()
            await task


async def test_a_child_that_dies_is_started_again(start: Callable[[str], Runner], recorder: Recorder) -> None:
    runner = start("import sys\nprint('here', flush=True)\nsys.exit(3)\n")
    await recorder.until(lambda: recorder.lines.count("here") >= 2)
    assert recorder.messages[0] == "ERROR child ended with exit status 3; restarting in 0.25 s"
    assert runner.failures >= 1


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_that_is_stopped_leaves_no_process_of_its_own_behind(tmp_path: Path, recorder: Recorder) -> None:
    with ReaperLink(tmp_path / "sockets") as link:
        runner = Runner(child(PARENT), tmp_path, link, recorder.append_lines, recorder.say)
        task = asyncio.create_task(runner.run())
        await recorder.until(lambda: "ready" in recorder.lines)
        await runner.stop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task  # it listens until nobody holds the child's output any more


def begin_group(program: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


def wait_for_end(process: "subprocess.Popen[str]") -> threading.Thread:
    """Wait for it in a thread: until its parent has taken note of its end, a process is there."""
    waiting = threading.Thread(target=process.wait)
    waiting.start()
    return waiting


def test_the_reaper_ends_what_is_left_and_removes_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir()
    left, taken_back = begin_group(FOREVER), begin_group(FOREVER)
    waiting = wait_for_end(left)
    with ReaperLink(tmp_path / "sockets") as link:
        link.watch(left.pid)
        link.watch(taken_back.pid)
        link.forget(taken_back.pid)
    waiting.join(PATIENCE_SECONDS)
    assert left.returncode == -signal.SIGTERM
    assert taken_back.poll() is None
    taken_back.kill()
    taken_back.wait()
    assert not (tmp_path / "sockets").exists()


def test_a_reaper_that_is_killed_is_replaced_by_one_that_knows_the_groups(tmp_path: Path) -> None:
    groups = [begin_group(FOREVER) for _ in range(3)]
    waiting = [wait_for_end(group) for group in groups]
    with ReaperLink(tmp_path / "sockets") as link:
        link.watch(groups[0].pid)
        link._process.kill()
        link._process.wait()
        link.watch(groups[1].pid)
        link.require_reaper()
        link.watch(groups[2].pid)
    for each in waiting:
        each.join(PATIENCE_SECONDS)
    assert [each.returncode for each in groups] == [-signal.SIGTERM] * 3


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    stubborn = begin_group(STUBBORN)
    reaper.end_groups([stubborn.pid], 0.1)
    assert stubborn.wait(PATIENCE_SECONDS) == -signal.SIGKILL


async def test_a_worker_ends_with_its_master_and_the_child_is_started_again(
    start: Callable[[str], Runner], recorder: Recorder
) -> None:
    start(MASTER)
    await recorder.until(lambda: len(recorder.lines) >= 1)
    worker, master = map(int, recorder.lines[0].split())
    os.kill(master, signal.SIGKILL)
    await recorder.until(lambda: len(recorder.lines) >= 2)
    assert recorder.messages == ["ERROR child was ended by SIGKILL; restarting in 0.25 s"]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while is_alive(worker):
            await asyncio.sleep(0.01)


async def test_a_connection_waits_while_one_process_replaces_another(tmp_path: Path, recorder: Recorder) -> None:
    port = free_port()
    with ReaperLink(tmp_path / "sockets") as link:
        runner = Runner(child(SERVER, port), tmp_path, link, recorder.append_lines, recorder.say)
        task = asyncio.create_task(runner.run())
        await recorder.until(lambda: "ready" in recorder.lines)
        await runner.replace(child(SERVER.replace("first", "second"), port))
        _, writer = await asyncio.open_connection(HOST, port)  # no process serves now
        await recorder.until(lambda: recorder.lines[-1] == "second")
        writer.close()
        await runner.stop()
        await task
    assert not is_open(port)
    assert recorder.messages == []
