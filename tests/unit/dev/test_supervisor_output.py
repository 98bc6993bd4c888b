"""The output of `hookchain dev`: shown, logged, and journaled; and the supervisor's own messages."""

import asyncio
import errno
import io
import shlex
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from deploy.config.running_dev import Hint, ports_from, read_hint, remove_dev_file, served_config, write_dev_file
from deploy.dev.supervisor.output import ROUTINE_LINES, Output
from deploy.history.local_journal import JournalReader
from deploy.requests.command_lines import first_event_line, first_event_line_without_secret
from deploy.requests.events import sample_beside
from deploy.requests.sources import source_lines
from deploy.terminal.log_view import LogView
from shared.jsontext import JsonObject, to_json
from tests.running.processes import PATIENCE_SECONDS

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


async def test_a_line_of_receive_is_shown_and_journaled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


# The messages of the supervisor

PORTS = ports_from(8080)
CLOCK = "12:00:00.000"


# Log lines


@given(st.text())
def test_no_line_breaks_the_view_or_colours_it(line: str) -> None:
    shown = LogView().line("receive", line, CLOCK)
    assert shown is None or "\x1b" not in shown


def slices(*auth: JsonObject) -> dict[str, JsonObject]:
    return {
        "receive": {"sources": {"form": {"auth": list(auth)}}},
        "transform": {"routes": [{"name": "r", "from": ["form"], "types": ["signup.*"], "to": ["x"]}]},
    }


@pytest.mark.parametrize(
    ("auth", "command"),
    [
        ({"scheme": "basic", "username": "web", "secret": "pw"}, "curl -u web:s3cret -H"),
        ({"scheme": "header", "header": "X-Key", "secret": "pw"}, "curl -H 'X-Key: s3cret' -H"),
        ({"scheme": "none"}, "curl -H 'Content-Type: application/json' -d"),
    ],
)
def test_the_line_to_try_proves_its_sender(auth: JsonObject, command: str) -> None:
    line = first_event_line(slices(auth), PORTS, {"PW": "s3cret\nolder"})
    assert line
    assert line.startswith(command)
    assert '"event":"signup.created"' in line
    assert line.endswith(" http://127.0.0.1:8080/form")


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        ({"scheme": "basic", "username": "web"}, "--basic web --secret pw"),
        ({"scheme": "header", "header": "X-Key"}, "--password-header X-Key --secret pw"),
        ({"scheme": "path"}, "--source form --secret pw"),
        ({"scheme": "standard-webhooks"}, "--standard-webhooks --secret pw"),
    ],
)
def test_the_line_that_others_may_read_names_the_secret(auth: JsonObject, options: str) -> None:
    line = first_event_line_without_secret(slices({**auth, "secret": "pw"}), PORTS)
    assert line
    assert f" send http://127.0.0.1:8080/form {options} --data " in line


def test_a_token_in_the_url_is_quoted() -> None:
    line = first_event_line(slices({"scheme": "query", "parameter": "key", "secret": "pw"}), PORTS, {"PW": "a/b"})
    assert line
    assert line.endswith("'http://127.0.0.1:8080/form?key=a%2Fb'")


def test_a_sample_beside_the_configuration_is_posted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample.form").write_text("x")
    monkeypatch.chdir(tmp_path.parent)
    sample = sample_beside(tmp_path / "hookchain.yaml")
    line = first_event_line(slices({"scheme": "none"}), PORTS, {}, sample)
    assert line
    content_type = "Content-Type: application/x-www-form-urlencoded"
    assert shlex.split(line)[1:5] == ["-H", content_type, "--data-binary", f"@{tmp_path.name}/sample.form"]


def test_each_source_says_where_and_how() -> None:
    auth: list[JsonObject] = [{"scheme": "basic", "username": "web", "secret": "form-password"}, {"scheme": "none"}]
    lines = source_lines({"form": {"auth": list(auth)}}, PORTS)
    assert lines == ["http://127.0.0.1:8080/form  basic auth; user: web; password: FORM_PASSWORD or no authentication"]


def test_what_runs_can_be_found_and_only_by_its_owner(tmp_path: Path) -> None:
    hint = Hint("curl …", ("http://…",))
    write_dev_file(tmp_path, PORTS, hint, Path("x.yaml"))
    assert read_hint(tmp_path) == hint
    assert served_config(tmp_path) == str(Path("x.yaml").absolute())
    assert stat.S_IMODE((tmp_path / "dev.json").stat().st_mode) == 0o600
    remove_dev_file(tmp_path)
    assert read_hint(tmp_path) is None
    assert served_config(tmp_path) is None
