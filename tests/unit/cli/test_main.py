"""The command itself: where it runs, and what it says if it cannot."""

import importlib
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from deploy.cli import main as command
from deploy.cli.main import COMMANDS, main, usage


def test_outside_a_checkout_help_and_version_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_CHECKOUT", tmp_path)
    assert (main(["--help"]), main(["--version"])) == (0, 0)
    assert main(["lint"]) == 1
    assert capsys.readouterr().err.startswith("hookchain: must run from a checkout; ")


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'pydantic'", name="pydantic")

    monkeypatch.setattr(importlib, "import_module", lacking)
    assert main(["lint"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("hookchain: 'pydantic' is not installed. In the checkout, run: pip install --editable ")
    assert line.endswith("[local]' (or `make dev`, which does it)")


def test_a_fault_of_our_own_imports_is_not_blamed_on_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'deploy.nowhere'", name="deploy.nowhere")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        main(["lint"])


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_list_of_commands_fits_and_lists_each() -> None:
    lines = usage().splitlines()
    assert max(map(len, lines)) <= 80
    listed_names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert listed_names == [*COMMANDS, "hookchain"]


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert capsys.readouterr().out == f"hookchain {project['version']}\n"


def help_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


WITH_ACTIONS = [[name, action] for name in ("events", "dead-letters") for action in ("list", "show", "replay")]
EVERY_HELP = [*([name] for name in COMMANDS), *WITH_ACTIONS, ["dead-letters", "drop"]]


@pytest.mark.parametrize("arguments", EVERY_HELP, ids=" ".join)
def test_help_fits_names_its_exit_codes_and_ends_with_an_example(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = help_of(arguments, capsys)
    too_long = [line for line in text.splitlines() if len(line) > 80]
    assert all(line.startswith(("  hookchain ", "    ")) for line in too_long), "it is to be copied"
    assert "exit codes: 0 " in text
    lines = text.rpartition("\nexample")[2].splitlines()
    assert lines[0] in {":", "s:"}
    assert lines[1].startswith(f"  hookchain {arguments[0]}")
    assert all(line.startswith("  ") for line in lines[1:])
