"""A configuration, and what is explained about a request to it."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from deploy.cli.explain import main
from shared.jsontext import Json, JsonObject

NOW = 1_790_000_000
SECRET = "the-hub-secret-of-some-length"
LINK_KEY = "a key for links, long enough"
BODY = b'{"action":"opened","sender":{"login":"ann"}}'


def explained(body: bytes, *arguments: str, monkeypatch: pytest.MonkeyPatch | None = None, now: int = NOW) -> int:
    Path(".env").touch()
    Path("body").write_bytes(body)
    places = ["--config", "hookchain.yaml", "--env-file", ".env", "--now", str(now)]
    return main([*places, "--body", "body", *arguments])


def document(capsys: pytest.CaptureFixture[str]) -> JsonObject:
    read: Json = json.loads(capsys.readouterr().out)
    assert isinstance(read, dict)
    return read


def states(report: JsonObject) -> dict[str, str]:
    checks = report["checks"]
    assert isinstance(checks, list)
    return {str(check["name"]): str(check["state"]) for check in checks if isinstance(check, dict)}


def signed(body: bytes, secret: str = SECRET) -> str:
    return "X-Hub-Signature-256: sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
