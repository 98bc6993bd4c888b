"""What a line of the log holds for the platform that reads it."""

import errno
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from shared import logs
from shared.settings import read_settings, settings, slice_or_exit

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    yield
    logs.set_trace_project("")
    settings.cache_clear()
    slice_or_exit.cache_clear()


@pytest.mark.parametrize("function", ["receive", "transform", "notify"])
def test_cloud_logging_shows_the_lines_of_one_trace_together(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slice.json").write_text(json.dumps({"function": function}))
    environ = {"K_SERVICE": "x", "GOOGLE_CLOUD_PROJECT": "a-project", "HOOKCHAIN_SLICE": str(tmp_path / "slice.json")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    slice_or_exit(function)
    logs.log("INFO", "done", trace=TRACE)
    logs.log("INFO", "of no event")
    traced, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert traced["logging.googleapis.com/trace"] == "projects/a-project/traces/0af7651916cd43dd8448eb211c80319c"
    assert "logging.googleapis.com/trace" not in other


def test_elsewhere_a_line_has_no_field_of_google_cloud(capsys: pytest.CaptureFixture[str]) -> None:
    load_environ = {"GOOGLE_CLOUD_PROJECT": "a-project", "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}
    assert read_settings(load_environ).metadata_host is None
    logs.log("INFO", "done", trace=TRACE)
    assert "googleapis" not in capsys.readouterr().out


def test_a_field_that_is_not_listed_is_never_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"not a log field: password; the allowed ones are in shared/logs\.py"):
        logs.log("INFO", "message", password="a-secret-value")
    assert not capsys.readouterr().out


class FullDisk(StringIO):
    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_standard_output_does_not_take_is_no_fault_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", FullDisk())
    logs.log("INFO", "accepted")
    with pytest.raises(OSError, match="No space left"):
        logs.write_line("INFO", "accepted")
