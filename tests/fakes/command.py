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


def audit_of(state: Path) -> list[tuple[str, str, int, str]]:
    """Return the tool, action, count and outcome of each audit record."""
    records = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
    assert all(each["who"] and each["at"] and each["where"] == f"--state {state}" for each in records)
    return [(each["tool"], each["what"], each["count"], each["outcome"]) for each in records]


def as_objects(value: Json) -> list[JsonObject]:
    assert isinstance(value, list)
    return [each for each in value if isinstance(each, dict)]
