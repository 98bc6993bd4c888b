"""`hookchain secrets` over Google Secret Manager."""

import base64
import json
from pathlib import Path

import pytest

from shared.secrets import split_values
from tests.gcloud_flags import faults, known_commands
from tests.google_stand_in import StandIn
from tests.stub_gcloud import StubGcloud
from tests.unit.cli.secrets.typed import STRONG, run, typed

PROJECT = "acme-hooks"
SECRETS = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-"


# Google Secret Manager


@pytest.fixture
def gcloud(gcloud: StubGcloud) -> StubGcloud:
    gcloud.answers("auth print-access-token", "ya29.token\n")
    return gcloud


def there(google: StandIn, name: str, *values: str, version: int = 1) -> None:
    path = f"{SECRETS}{name}/versions/latest"
    full = f"projects/1/secrets/hookchain-{name}/versions/{version}"
    google.answers(path, {"name": full, "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    data = base64.b64encode("\n".join(values).encode()).decode()
    google.answers(f"{path}:access", {"name": full, "payload": {"data": data}})


def on_gcp(env_file: Path, *arguments: str) -> int:
    return run(env_file, *arguments, "--platform", "gcp", "--project", PROJECT)


def command_lines(gcloud: StubGcloud) -> list[str]:
    kept = [call.arguments for call in gcloud.calls if call.arguments[0] != "auth"]
    return [
        " ".join(word for word in arguments if word not in {"--quiet", f"--project={PROJECT}"}) for arguments in kept
    ]


def test_a_new_secret_is_made_with_its_value_on_standard_input(
    env_file: Path, gcloud: StubGcloud, google: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcloud.answers("secrets versions add", code=1, stderr="ERROR: NOT_FOUND: Secret [x] not found")
    gcloud.answers("secrets create", code=0)
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "set", "shop-password") == 0
    assert command_lines(gcloud)[-1] == (
        "secrets create hookchain-shop-password --labels=hookchain=hookchain --data-file=- "
        "--replication-policy=user-managed --locations=europe-west1"
    )
    assert gcloud.calls[-1].stdin == STRONG
    assert not any(STRONG in word for call in gcloud.calls for word in call.arguments)


def test_a_secret_of_another_bundle_is_left_alone(
    env_file: Path,
    gcloud: StubGcloud,
    google: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    google.answers(f"{SECRETS}shop-password", {"name": "x", "labels": {"hookchain": "hookchain-shop"}})
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "set", "shop-password") == 1
    assert "has the label of the deployment 'hookchain-shop'" in capsys.readouterr().err
    assert command_lines(gcloud) == []


def test_a_rotation_on_google_adds_a_version_and_disables_the_old_one(
    env_file: Path,
    gcloud: StubGcloud,
    google: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there(google, "shop-password", "the-value-until-now-1")
    gcloud.answers("secrets versions add")
    versions = [{"name": f"projects/1/secrets/s/versions/{n}", "state": "ENABLED"} for n in (10, 9)]
    gcloud.answers("secrets versions list", [*versions, {"name": "x/versions/8", "state": "DESTROYED"}])
    gcloud.answers("secrets versions disable 9 --secret=hookchain-shop-password")
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "rotate", "shop-password") == 0
    [added] = [call for call in gcloud.calls if call.arguments[:3] == ("secrets", "versions", "add")]
    assert split_values(added.stdin) == (STRONG, "the-value-until-now-1")
    output = capsys.readouterr().out
    assert f"hookchain secrets rotate shop-password --drop-old --platform gcp --project {PROJECT}\n" in output
    assert STRONG not in output


def test_gcloud_has_every_command_that_is_run(
    env_file: Path, gcloud: StubGcloud, google: StandIn, inputs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there(google, "shop-password", STRONG, "the-value-until-now-1")
    gcloud.answers("secrets versions add", code=1, stderr="NOT_FOUND")
    gcloud.answers("secrets versions add", code=1, stderr="SERVICE_DISABLED")
    gcloud.answers("secrets versions add")
    gcloud.answers("secrets create")
    gcloud.answers("services enable")
    gcloud.answers("secrets versions list", [{"name": f"x/versions/{n}", "state": "ENABLED"} for n in (2, 1)])
    gcloud.answers("secrets versions disable")
    gcloud.answers("secrets versions destroy")
    for arguments in (["set", "--random"], ["rotate", "--random"], ["rotate", "--drop-old"]):
        assert on_gcp(env_file, arguments[0], "shop-password", arguments[1]) == 0
    known = known_commands(inputs_folder)
    assert [fault for call in gcloud.calls for fault in faults(call.arguments, known)] == []
    run = {" ".join(call.arguments[:4]) for call in gcloud.calls}
    assert {"secrets versions destroy 1", "secrets versions disable 1"} < run


def test_a_failing_gcloud_is_reported_with_the_command_and_without_the_value(
    env_file: Path,
    gcloud: StubGcloud,
    google: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gcloud.answers("secrets versions add", code=1, stderr="ERROR: PERMISSION_DENIED: secretmanager.versions.add")
    typed(monkeypatch, STRONG)
    assert on_gcp(env_file, "set", "shop-password") == 1
    output = capsys.readouterr().err
    assert "PERMISSION_DENIED" in output
    assert "gcloud secrets versions add hookchain-shop-password --data-file=-" in output
    assert STRONG not in output


def test_a_secret_that_may_not_be_read_is_not_taken_for_missing(
    env_file: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    there(google, "shop-password", STRONG)
    path = f"{SECRETS}pay-key/versions/latest"
    google.answers(path, {"name": "x/versions/1", "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    google.refuses(f"{path}:access", 403, "IAM_PERMISSION_DENIED")
    assert on_gcp(env_file, "list", "--json") == 1
    states = {each["name"]: each["state"] for each in json.loads(capsys.readouterr().out)["secrets"]}
    assert (states["pay-key"], states["shop-password"], states["hex-key"]) == ("unreadable", "present", "missing")
