"""`hookchain status` while `hookchain dev` serves the configuration from before a faulty edit."""

import json
from pathlib import Path

import pytest

from deploy.cli.main import main
from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.config.running_dev import Hint, Ports, write_dev_file
from shared.cloud.local.journal import FILE_NAME, open_journal

CONFIG = """
sources: {shop: {auth: none, dedupe: body}}
routes: [{name: all of it, to: people}]
destinations: {people: {email: {to: ann@example.com}}}
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder, and a configuration that has a fault since it was served."""
    file = tmp_path / "hookchain.yaml"
    file.write_text(CONFIG.replace("auth:", "auht:"), encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(file))
    (tmp_path / "slices").mkdir()
    for name, document in compile_config(parse_config(CONFIG, str(file), tmp_path)).items():
        (tmp_path / "slices" / f"{name}.json").write_text(json.dumps(document))
    open_journal(tmp_path / FILE_NAME).close()
    return tmp_path


def test_a_faulty_edit_does_not_hide_the_status_of_what_is_served(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dev_file(state, Ports(1, 1, 1, 1, 1), Hint("", ()), state / "hookchain.yaml")
    assert main(["status", "--state", str(state), "--json"]) == 0
    printed = capsys.readouterr()
    assert [each["source"] for each in json.loads(printed.out)["sources"]] == ["shop"]
    assert "hookchain.yaml has faults, see `hookchain lint`" in printed.err


def test_where_nothing_is_served_the_fault_is_reported(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state", str(state)]) == 1
    assert "did you mean 'auth'?" in capsys.readouterr().err
