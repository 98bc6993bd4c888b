"""The keys of the documents that agents and scripts read: a version can add a key, and removes none."""

from pathlib import Path
from typing import Final

import pytest

from tests.fakes.command import Command
from tests.fakes.kept import Kept

CONFIG: Final = """
sources: {web: {auth: none}}
routes: [{name: all, to: people}]
destinations: {people: {email: {to: ann@example.com}}}
tests: [{name: one, input: {source: web, body: {}}, expect: [{to: people}]}]
"""
EXPLAINED: Final = "status code source checks advice events reply deliveries undelivered_because details"
STATUS: Final = "versions sources backlog dead_letters held retry_scheduled waiting_routes destinations notes"


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("lint", "file faults warnings notes"),
        ("test", "tests"),
        ("explain --source web --file body", EXPLAINED),
        ("status", STATUS),
    ],
)
def test_the_document_of_a_command_keeps_its_keys(
    line: str, keys: str, kept: Kept, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    Path("body").write_text("{}", encoding="utf-8")
    assert {*keys.split()} <= command.json(*line.split(), "--config", "hookchain.yaml").keys()


def test_a_fault_has_its_line_place_and_rule_in_lint_and_test(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "hookchain.yaml"
    config.write_text(CONFIG.replace("to: people}]", "to: poeple}]", 1), encoding="utf-8")
    for name in ("lint", "test"):
        faults = command.json(name, "--config", str(config), code=1)["faults"]
        assert isinstance(faults, list)
        assert [{*each} for each in faults if isinstance(each, dict)] == [{"line", "where", "rule"}]


def test_a_fault_of_the_env_file_is_in_the_document_of_lint_and_test(command: Command, tmp_path: Path) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "env").write_text("no variable\n", encoding="utf-8")
    options = ("--config", str(tmp_path / "hookchain.yaml"), "--env-file", str(tmp_path / "env"))
    for name in ("lint", "test"):
        assert "must be NAME=value" in str(command.json(name, *options, code=1)["faults"])
