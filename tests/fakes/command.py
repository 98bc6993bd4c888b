"""`hookchain` in this process."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.cli.main import main
from shared.jsontext import Json, JsonObject


class Command:
    """A command line, begun with `before` and ended with `after`. Each call returns what was printed.

    error  what the last call printed to standard error
    shown  all that it printed
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], *before: str, after: Sequence[str] = ()) -> None:
        self._capsys = capsys
        self._before = before
        self._after = after
        self.error = ""
        self.shown = ""

    def partial(self, *before: str, after: Sequence[str] = ()) -> "Command":
        """Return a command line that always has these arguments."""
        return Command(self._capsys, *before, after=after)

    def __call__(self, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
        """`stdin` is what is on standard input."""
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            if stdin is not None:
                patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            ended = exit_code(*self._before, *arguments, *self._after)
        output, self.error = self._capsys.readouterr()
        self.shown = output + self.error
        assert ended == code, self.shown
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
