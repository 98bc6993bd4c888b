"""Processes kept running and ended: with real ones, for that is the point."""

import asyncio
import errno
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from deploy.dev.supervisor import reaper
from deploy.dev.supervisor.output import ROUTINE_LINES, Output, RequestFeed
from deploy.dev.supervisor.plan import Child
from deploy.dev.supervisor.reaper import groups_left
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.supervisor import race, raise_first_fault
from deploy.history.local_read import JournalReader
from deploy.terminal.log_view import LogView
from shared.jsontext import JsonObject, to_json

FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
PIECES = (
    "import sys, time\n"
    "sys.stdout.write('one\\ntw')\n"
    "sys.stdout.flush()\n"
    "time.sleep(0.05)\n"
    "sys.stdout.write('o\\nend')\n"
)
PARENT = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)\n"
)
REQUEST: JsonObject = {
    "message": "accepted",
    "time": "2026-09-21T14:13:20.500Z",
    "function": "receive",
    "method": "POST",
    "status": 200,
    "source": "web",
    "event_id": "e1",
}


class Heard:
    """What a runner's child and the runner itself said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.said: list[str] = []
        self._more = asyncio.Event()

    def hear(self, name: str, lines: object) -> None:
        assert isinstance(lines, list)
        self.lines += lines
        self._more.set()

    def say(self, severity: str, text: str) -> None:
        self.said.append(f"{severity} {text}")
        self._more.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self._more.clear()
                await self._more.wait()


def child(program: str) -> Child:
    return Child("child", (sys.executable, "-c", program), dict(os.environ), 0, "/", ())


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def start(tmp_path: Path, heard: Heard) -> AsyncIterator[Callable[[str], Runner]]:
    running: list[tuple[Runner, asyncio.Task[None]]] = []
    with ReaperLink(tmp_path / "sockets") as link:

        def begin(program: str) -> Runner:
            runner = Runner(child(program), tmp_path, link, heard.hear, heard.say)
            running.append((runner, asyncio.create_task(runner.run())))
            return runner

        yield begin
        for runner, task in running:
            await runner.stop()
            await task


async def test_a_child_that_dies_is_started_again(start: Callable[[str], Runner], heard: Heard) -> None:
    runner = start("import sys\nprint('here', flush=True)\nsys.exit(3)\n")
    await heard.until(lambda: heard.lines.count("here") >= 2)
    assert heard.said[0] == "ERROR child ended with exit status 3; restarting in 0.25 s"
    assert runner.failures >= 1


async def test_the_output_of_a_child_arrives_in_whole_lines(start: Callable[[str], Runner], heard: Heard) -> None:
    start(PIECES)
    await heard.until(lambda: len(heard.lines) >= 3)
    assert heard.lines[:3] == ["one", "two", "end"]


async def test_a_fault_while_a_child_is_heard_ends_the_child_and_is_raised(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail(name: str, lines: Sequence[str]) -> None:
        pids.append(int(lines[0]))
        raise LookupError(lines[0])

    program = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n"
    with ReaperLink(tmp_path / "sockets") as link:
        runner = Runner(child(program), tmp_path, link, fail, lambda severity, text: None)
        async with asyncio.timeout(10):
            with pytest.raises(ExceptionGroup):
                await raise_first_fault([asyncio.create_task(runner.run()), asyncio.create_task(asyncio.sleep(600))])
            while is_alive(pids[0]):
                await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_child_that_has_changed_is_replaced_without_complaint(
    start: Callable[[str], Runner], heard: Heard
) -> None:
    runner = start(FOREVER)
    await heard.until(lambda: "ready" in heard.lines)
    await runner.replace(child("print('another', flush=True)\nimport time\ntime.sleep(600)\n"))
    await heard.until(lambda: "another" in heard.lines)
    assert heard.said == []


async def test_a_child_waiting_to_be_started_again_is_replaced_at_once(
    start: Callable[[str], Runner], heard: Heard
) -> None:
    runner = start("raise SystemExit(1)")
    await heard.until(lambda: runner.failures >= 4)  # it waits for 2 s
    await runner.replace(child(FOREVER))
    async with asyncio.timeout(1.5):
        await heard.until(lambda: "ready" in heard.lines)


async def test_a_child_that_is_stopped_leaves_no_process_of_its_own_behind(tmp_path: Path, heard: Heard) -> None:
    with ReaperLink(tmp_path / "sockets") as link:
        runner = Runner(child(PARENT), tmp_path, link, heard.hear, heard.say)
        task = asyncio.create_task(runner.run())
        await heard.until(lambda: "ready" in heard.lines)
        await runner.stop()
        async with asyncio.timeout(5):
            await task  # it listens until nobody holds the child's output any more


def begin_group(program: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


def test_the_reaper_ends_what_is_left_and_removes_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir()
    left, taken_back = begin_group(FOREVER), begin_group(FOREVER)
    waiting = threading.Thread(target=left.wait)  # until its parent has taken note of it, it is there
    waiting.start()
    with ReaperLink(tmp_path / "sockets") as link:
        link.watch(left.pid)
        link.watch(taken_back.pid)
        link.forget(taken_back.pid)
    waiting.join(5)
    assert left.returncode == -signal.SIGTERM
    assert taken_back.poll() is None
    taken_back.kill()
    taken_back.wait()
    assert not (tmp_path / "sockets").exists()


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    stubborn = begin_group(STUBBORN)
    reaper.end_groups([stubborn.pid], 0.1)
    assert stubborn.wait(5) == -signal.SIGKILL


def test_the_reaper_knows_which_groups_are_left() -> None:
    assert groups_left(["+12\n", "+13\n", "-12\n", "-99\n"]) == {13}


async def test_a_race_ends_with_its_first_and_cancels_the_others() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.append("endless")

    await race(endless(), asyncio.sleep(0))
    assert ended == ["endless"]


async def test_a_race_raises_what_its_first_raised() -> None:
    async def fails() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await race(asyncio.sleep(600), fails())


async def test_requests_that_receive_logs_are_in_the_journal_soon(tmp_path: Path) -> None:
    feed = RequestFeed(tmp_path, lambda severity, text: None)
    feed.take({"message": "no request"})
    feed.take(REQUEST)
    task = asyncio.create_task(feed.run())
    with JournalReader(tmp_path / "journal.db") as reader:
        async with asyncio.timeout(5):
            while reader.event("e1") is None:
                await asyncio.sleep(0.01)
        feed.take({**REQUEST, "event_id": "e2"})
        task.cancel()
        await asyncio.wait([task])
        assert reader.event("e2")


async def test_a_journal_that_cannot_be_opened_yet_takes_the_requests_that_come_once_it_can(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.write_text("no folder", encoding="utf-8")
    said: list[str] = []
    threads: set[int] = set()

    def say(severity: str, text: str) -> None:
        said.append(text)
        threads.add(threading.get_ident())

    feed = RequestFeed(state, say)
    feed.take(REQUEST)
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(5):
        while not said:
            await asyncio.sleep(0.01)
    state.unlink()
    feed.take({**REQUEST, "event_id": "e2"})
    task.cancel()  # which writes what waits
    await asyncio.wait([task])
    with JournalReader(state / "journal.db") as reader:
        assert (reader.event("e1"), reader.event("e2") is None) == (None, False)
    assert threads == {threading.get_ident()}  # the log file that it is said to is the event loop's


def test_a_file_on_a_full_disk_that_takes_no_word_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(LogView("INFO", colours=False), lambda: pytest.fail("somebody reads still"), tmp_path)
    monkeypatch.setattr(sys, "stdout", FullDisk())
    output.say("ERROR", "notify ended with exit status 1")
    output.file.close()
    assert "notify ended" in (tmp_path / "log.jsonl").read_text(encoding="utf-8")


async def test_a_line_of_receive_is_shown_logged_and_journaled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogView("INFO", colours=False), lambda: None, tmp_path)
    feeding = asyncio.create_task(output.requests.run())
    output.hear("receive", ["Traceback", to_json(REQUEST)])
    output.hear("notify", [to_json({**REQUEST, "event_id": "e2"})])
    with JournalReader(tmp_path / "journal.db") as reader:
        async with asyncio.timeout(5):
            while reader.event("e1") is None:
                await asyncio.sleep(0.01)
        assert reader.event("e2") is None
    feeding.cancel()
    await asyncio.wait([feeding])
    output.file.close()
    shown = capsys.readouterr().out
    assert "receive   Traceback" in shown
    assert "receive   accepted  source=web" in shown
    assert "e1" in (tmp_path / "log.jsonl").read_text(encoding="utf-8")


async def test_under_load_routine_lines_are_left_out_and_counted_and_errors_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogView("INFO", colours=False), lambda: None, tmp_path)
    routine = [f'{{"severity":"INFO","message":"delivered","event_id":"e{n}"}}' for n in range(ROUTINE_LINES + 9)]
    output.hear("notify", [*routine, '{"severity":"ERROR","message":"not done"}', "Traceback"])
    output.close()
    shown = capsys.readouterr().out
    assert shown.count("delivered") == ROUTINE_LINES
    assert "error: not done" in shown
    assert "Traceback" in shown
    assert shown.endswith("dev       9 lines left out here: `hookchain logs` prints every line\n")
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").count("delivered") == ROUTINE_LINES + 9


async def test_each_second_routine_lines_are_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(LogView("INFO", colours=False), lambda: None, tmp_path)
    line = '{"severity":"INFO","message":"delivered"}'
    output.hear("notify", [line] * (ROUTINE_LINES + 1))
    async with asyncio.timeout(10):
        while "1 line left out" not in capsys.readouterr().out:
            await asyncio.sleep(0.05)
    output.hear("notify", [line])
    output.close()
    assert capsys.readouterr().out.endswith("notify    delivered\n")


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_missing_program_is_logged_and_retried(tmp_path: Path, heard: Heard) -> None:
    with ReaperLink(tmp_path / "sockets") as link:
        missing = Child("child", (str(tmp_path / "missing"),), {}, 0, "/", ())
        runner = Runner(missing, tmp_path, link, heard.hear, heard.say)
        task = asyncio.create_task(runner.run())
        await heard.until(lambda: runner.failures >= 2)
        await runner.stop()
        await task
    assert heard.said[0] == f"ERROR {tmp_path / 'missing'} cannot be started: No such file or directory"
