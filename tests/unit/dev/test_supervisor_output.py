"""The output of `hookchain dev`: shown, logged, and journaled."""

import asyncio
import errno
import io
import sys
import threading
from pathlib import Path

import pytest

from deploy.dev.supervisor.output import ROUTINE_LINES, Output, RequestFeed
from deploy.history.local_journal import JournalReader
from deploy.terminal.log_view import LogView
from shared.jsontext import JsonObject, to_json
from tests.processes import PATIENCE_SECONDS

REQUEST: JsonObject = {
    "message": "accepted",
    "time": "2026-09-21T14:13:20.500Z",
    "function": "receive",
    "method": "POST",
    "status": 200,
    "source": "web",
    "event_id": "e1",
}


async def test_a_journal_that_cannot_be_opened_yet_takes_the_requests_that_come_once_it_can(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.write_text("no folder", encoding="utf-8")
    messages: list[str] = []
    threads: set[int] = set()

    def say(severity: str, text: str) -> None:
        messages.append(text)
        threads.add(threading.get_ident())

    feed = RequestFeed(state, say)
    feed.add(REQUEST)
    task = asyncio.create_task(feed.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not messages:
            await asyncio.sleep(0.01)
    state.unlink()
    feed.add({**REQUEST, "event_id": "e2"})
    task.cancel()  # which writes what waits
    await asyncio.wait([task])
    with JournalReader(state / "journal.db") as reader:
        assert (reader.event("e1"), reader.event("e2") is None) == (None, False)
    assert threads == {threading.get_ident()}  # the log file that gets the message is the event loop's


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
    output.append_lines("receive", ["Traceback", to_json(REQUEST)])
    output.append_lines("notify", [to_json({**REQUEST, "event_id": "e2"})])
    with JournalReader(tmp_path / "journal.db") as reader:
        async with asyncio.timeout(PATIENCE_SECONDS):
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
    output.append_lines("notify", [*routine, '{"severity":"ERROR","message":"not done"}', "Traceback"])
    output.close()
    shown = capsys.readouterr().out
    assert shown.count("delivered") == ROUTINE_LINES
    assert "error: not done" in shown
    assert "Traceback" in shown
    assert shown.endswith("dev       9 lines left out here: `hookchain logs` prints every line\n")
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").count("delivered") == ROUTINE_LINES + 9


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")
