"""The command itself: where it runs, and what it says if it cannot."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from deploy.cli import main as command
from deploy.cli.main import checkout_fault, main


def test_a_copy_outside_a_checkout_says_in_one_line_what_to_run(tmp_path: Path) -> None:
    fault = checkout_fault(tmp_path)
    assert fault is not None
    assert "\n" not in fault
    assert "pip install --editable '.[local]'" in fault
    assert checkout_fault(Path.cwd()) is None


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
