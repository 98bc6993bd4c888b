"""What `hookchain events` prints, as text and as JSON."""

import json

import pytest

from deploy.cli.main import main
from shared.jsontext import Json, JsonObject
from tests.fakes.kept import NOW

OLD = NOW - 7_200.0


def exit_code(*arguments: str) -> int | str | None:
    """Return the exit code, of a usage error too."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["events", *arguments]) == code
    return capsys.readouterr().out


def printed_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> JsonObject:
    document: Json = json.loads(printed(capsys, *arguments, "--json", code=code))
    assert isinstance(document, dict)
    return document
