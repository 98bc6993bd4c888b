"""The output of `hookchain dev`: shown, logged, and journaled."""

import asyncio
import errno
import io
import sys
from pathlib import Path

import pytest

from deploy.dev.supervisor.output import ROUTINE_LINES, Output
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
