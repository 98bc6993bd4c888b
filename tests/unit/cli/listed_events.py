"""What `hookchain events` prints, as text and as JSON."""

import json

import pytest

from deploy.cli.main import main
from shared.jsontext import Json, JsonObject
from tests.fakes.kept import NOW

OLD = NOW - 7_200.0


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["events", *arguments]) == code
    return capsys.readouterr().out


def printed_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> JsonObject:
    document: Json = json.loads(printed(capsys, *arguments, "--json", code=code))
    assert isinstance(document, dict)
    return document
