"""`hookchain` in this process."""

import json
from pathlib import Path

import pytest

from deploy.cli.main import main
from shared.jsontext import Json, JsonObject


class Command:
    """Each call returns what the command printed; `error` is what it printed to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.error = ""

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._capsys.readouterr()
        ended = exit_code(*arguments)
        output, self.error = self._capsys.readouterr()
        assert ended == code, f"{output}{self.error}"
        return output

    def json(self, *arguments: str, code: int = 0) -> JsonObject:
        document: JsonObject = json.loads(self(*arguments, "--json", code=code))
        return document


def exit_code(*arguments: str) -> int | str | None:
    """Return the exit code, of a usage error too."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def audit_records(state: Path) -> list[JsonObject]:
    """Return the audit record of the outcome of each action, after the record of its beginning."""
    path = state / "audit.jsonl"
    records: list[JsonObject] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    begun, ended = records[::2], records[1::2]
    for first, last in zip(begun, ended, strict=True):
        assert first == {**{name: last[name] for name in first}, "outcome": "begun"}
        assert first["who"]
        assert first["at"]
    return ended


def audit_of(state: Path) -> list[tuple[str, str, int, str]]:
    """Return the tool, action, count and outcome of each audited action."""
    records = audit_records(state)
    assert all(each["where"] == f"--state {state}" for each in records)
    return [(str(each["tool"]), str(each["what"]), int(str(each["count"])), str(each["outcome"])) for each in records]


def as_objects(value: Json) -> list[JsonObject]:
    assert isinstance(value, list)
    return [each for each in value if isinstance(each, dict)]
