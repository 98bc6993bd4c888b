"""What the doctor finds."""

import base64
import json
from pathlib import Path
from typing import Final

import pytest

from deploy.cli.main import main
from deploy.gcp.resources.project import APIS
from shared.jsontext import Json, JsonObject

PROJECT: Final = "acme-hooks"
HELP: Final = "--base-image --function --[no-]invoker-iam-check"


def good_answers() -> dict[str, Json]:
    services: list[Json] = [{"name": f"projects/1/services/{name}", "state": "ENABLED"} for name in APIS]
    secrets = {"shop-password": "a-long-and-random-value", "sendgrid-api-key": "SG.long-and-random-value"}
    answers: dict[str, Json] = {
        f"/cloudresourcemanager/v3/projects/{PROJECT}": {"state": "ACTIVE", "displayName": "Acme"},
        f"/cloudbilling/v1/projects/{PROJECT}/billingInfo": {"billingEnabled": True},
        f"/serviceusage/v1/projects/{PROJECT}/services:batchGet": {"services": services},
        f"/run/v1/projects/{PROJECT}/locations": {"locations": [{"locationId": "europe-west1"}]},
        "/sendgrid/v3/verified_senders": {"results": [{"from_email": "Hooks@example.com", "verified": True}]},
        "/sendgrid/v3/whitelabel/domains": [],
    }
    for name, value in secrets.items():
        version = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-{name}/versions/latest"
        answers[version] = {"state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"}
        answers[f"{version}:access"] = {"payload": {"data": base64.b64encode(value.encode()).decode()}}
    return answers


def examined(tmp_path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, JsonObject]]:
    (tmp_path / ".env").touch()
    asked = ["doctor", "--json", "--env-file", str(tmp_path / ".env"), *arguments]
    code = main(asked)
    output = json.loads(capsys.readouterr().out)
    assert output["ok"] == (code == 0)
    return code, {each["check"]: each for each in output["checks"]}


def on_gcp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, JsonObject]]:
    return examined(tmp_path, capsys, "--platform", "gcp", "--project", PROJECT)
