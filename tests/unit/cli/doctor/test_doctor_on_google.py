"""`hookchain doctor` on Google Cloud: what would stop a deployment, and what to do about it."""

import base64
import json
from pathlib import Path
from typing import Final

import pytest

from shared.jsontext import JsonObject
from tests.google_stand_in import StandIn
from tests.stub_gcloud import StubGcloud, install
from tests.unit.cli.doctor.examined import PROJECT, examined, on_gcp


def test_where_all_is_well_nothing_is_to_be_done(
    tmp_path: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = on_gcp(tmp_path, capsys)
    assert {name: each["verdict"] for name, each in checks.items() if each["verdict"] != "ok"} == {
        "sources": "unknown"  # no stand-in has events
    }
    assert code == 0
    assert checks["gcloud"]["found"] == "version 578.0.0"
    assert checks["signed in"]["found"] == "ann@example.com"
    assert not any("create" in call.arguments or "enable" in call.arguments for call in gcloud.calls)
    assert {request.method for request in google.requests if "testIam" not in request.path} == {"GET"}


POLICY = f"/orgpolicy/v2/projects/{PROJECT}/policies/"
ENFORCED: Final[JsonObject] = {"spec": {"rules": [{"enforce": True}]}}
BROKEN: Final[dict[str, tuple[str, JsonObject, str]]] = {
    "project": (f"/cloudresourcemanager/v3/projects/{PROJECT}", {"state": "DELETE_REQUESTED"}, "undelete"),
    "billing": (f"/cloudbilling/v1/projects/{PROJECT}/billingInfo", {"billingEnabled": False}, "billing account"),
    "region": (f"/run/v1/projects/{PROJECT}/locations", {"locations": [{"locationId": "x"}]}, "run regions list"),
    "policies": (f"{POLICY}run.managed.requireInvokerIam:getEffectivePolicy", ENFORCED, "orgpolicy.policyAdmin"),
    "sender": ("/sendgrid/v3/verified_senders", {"results": []}, "verify it: https://app.sendgrid.com"),
    "secrets": (
        f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-shop-password/versions/latest:access",
        {"payload": {"data": base64.b64encode(b"changeme").decode()}},
        f"hookchain secrets set shop-password --platform gcp --project {PROJECT}",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_would_stop_a_deploy_is_found_and_said_with_what_to_do(
    tmp_path: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path, answer, todo = BROKEN[name]
    google.canned[("GET", path)] = [(200, answer)]
    code, checks = on_gcp(tmp_path, capsys)
    assert code == 1
    assert {check for check, each in checks.items() if each["verdict"] == "problem"} == {name}
    assert todo in str(checks[name]["todo"])
    assert "changeme" not in json.dumps(checks)


def test_a_missing_secret_is_named(
    tmp_path: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-"
    del google.canned[("GET", f"{kept}sendgrid-api-key/versions/latest")]
    code, checks = on_gcp(tmp_path, capsys)
    assert (code, checks["secrets"]["found"]) == (1, "missing: sendgrid-api-key")
    assert checks["sender"]["verdict"] == "unknown"


def test_what_may_not_be_looked_at_is_no_problem(
    tmp_path: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    google.refuses(f"{POLICY}run.managed.requireInvokerIam:getEffectivePolicy", 403, "IAM_PERMISSION_DENIED")
    for path in ("/sendgrid/v3/verified_senders", "/sendgrid/v3/whitelabel/domains"):
        google.canned[("GET", path)] = [(403, {"errors": [{"message": "access forbidden"}]})]
    code, checks = on_gcp(tmp_path, capsys)
    assert code == 0
    assert {name for name, each in checks.items() if each["verdict"] == "unknown"} == {
        *("policies", "sender", "sources"),
    }


def test_an_api_that_asks_on_whose_quota_is_asked_on_ours(
    tmp_path: Path, gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/cloudbilling/v1/projects/{PROJECT}/billingInfo"
    google.canned[("GET", path)] = []
    google.refuses(path, 403, "SERVICE_DISABLED")
    google.answers(path, {"billingEnabled": True})
    assert on_gcp(tmp_path, capsys)[1]["billing"]["verdict"] == "ok"
    requests = [request.headers.get("x-goog-user-project") for request in google.requests if request.path == path]
    assert requests == [None, PROJECT]


def test_without_a_file_it_looks_at_what_would_be_deployed_and_not_at_the_example(
    tmp_path: Path,
    gcloud: StubGcloud,
    google: StandIn,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOOKCHAIN_CONFIG")
    monkeypatch.setattr("deploy.config.checkout.OWN_CONFIGS", (Path("there-is-none.yaml"),))
    _, checks = on_gcp(tmp_path, capsys)
    assert str(checks["configuration"]["todo"]).startswith("set EMAIL_ADDRESS")
    monkeypatch.setenv("EMAIL_ADDRESS", "hooks@example.com")
    _, checks = on_gcp(tmp_path, capsys)
    assert checks["secrets"]["found"] == "the deployment generates: webhook-password"


def test_without_gcloud_the_one_thing_to_do_is_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, checks = on_gcp(tmp_path, capsys)
    assert code == 1
    assert [name for name, each in checks.items() if each["verdict"] == "problem"] == ["gcloud"]
    assert "cloud.google.com/sdk" in str(checks["gcloud"]["todo"])


def test_nobody_signed_in_and_a_gcloud_that_is_too_old_are_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = install(tmp_path / "old")
    monkeypatch.setenv("PATH", stub.path)
    stub.answers("version", {"Google Cloud SDK": "400.0.0"})
    stub.answers("run deploy --help", "--image")
    stub.answers("auth print-access-token", code=1, stderr="ERROR: You do not currently have an active account")
    code, checks = on_gcp(tmp_path, capsys)
    assert code == 1
    assert checks["signed in"]["todo"] == "gcloud auth login"
    assert checks["gcloud run"]["todo"] == "gcloud components update"


def test_without_a_project_the_rest_is_looked_at_anyway(
    tmp_path: Path, gcloud: StubGcloud, capsys: pytest.CaptureFixture[str]
) -> None:
    gcloud.answers("config get-value project", "(unset)\n")
    _, checks = examined(tmp_path, capsys, "--platform", "gcp")
    assert (checks["project"]["verdict"], checks["configuration"]["verdict"]) == ("problem", "ok")
