"""`hookchain smoke` on Google Cloud."""

import io
import json
import sys
from typing import Final

import pytest

from deploy.cli.main import main
from tests.google_stand_in import StandIn
from tests.stub_gcloud import StubGcloud
from tests.unit.cli.smoke.smoking import EVENT_ID

PROJECT: Final = "acme-hooks"


@pytest.fixture
def google(google: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    service = f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-receive"
    google.answers(service, {"uri": f"{google.url}/hooks"})
    version = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-signed-key/versions/latest"
    google.answers(version, {"state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
    google.answers(f"{version}:access", {"payload": {"data": "YS1sb25nLWFuZC1yYW5kb20ta2V5"}})
    for name in ("PUBSUB", "FIRESTORE", "STORAGE"):  # where nothing answers
        monkeypatch.setenv(f"{name}_EMULATOR_HOST", "127.0.0.1:1")
    return google


def cloud_entry(function: str, number: int, **fields: object) -> dict[str, object]:
    resource = {"labels": {"service_name": f"hookchain-{function}"}}
    at = f"2026-03-01T12:00:0{number}Z"
    payload = {"message": "x", "event_id": EVENT_ID, **fields}
    return {"insertId": str(number), "timestamp": at, "severity": "INFO", "resource": resource, "jsonPayload": payload}


def on_gcp(*arguments: str) -> int:
    return main(["smoke", "--platform", "gcp", "--project", PROJECT, "--source", "signed", *arguments])


def test_on_google_it_is_signed_with_the_kept_secret_and_followed_in_the_logs_where_no_journal_can_be_read(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.smoke.time.sleep", lambda _: None)
    google.answers("/hooks/signed", {"id": EVENT_ID}, method="POST")
    owed = cloud_entry("transform", 1, outcome="routed", count=1)
    tried = cloud_entry("notify", 2, delivery_id="1", destination="people", route="orders", outcome="delivered")
    gcloud.answers("logging read", [])
    gcloud.answers("logging read", [owed])
    gcloud.answers("logging read", [owed, tried])
    assert on_gcp("--yes") == 0
    output = capsys.readouterr()
    assert "It works: 1 of 1 delivered." in output.out
    assert output.err.count("the journal cannot be read") == 1
    [posted] = [request for request in google.requests if request.method == "POST"]
    assert posted.headers["x-event"] == "order.created"
    assert posted.headers["webhook-id"].startswith("smoke-")
    assert len(posted.headers["x-signature"]) == 64
    assert json.loads(posted.body)["order"]["id"] == posted.headers["webhook-id"]
    query = next(call.arguments[2] for call in gcloud.calls if call.arguments[0] == "logging")
    assert f'jsonPayload.event_id=~"^{EVENT_ID}"' in query


def test_nobody_is_written_to_unasked(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert on_gcp() == 2
    output = capsys.readouterr().err
    assert "people (email)  ann@example.com" in output
    assert "add --yes to confirm" in output
    assert not [request for request in google.requests if request.method == "POST"]


def test_a_rejection_is_reported_with_where_to_look(
    gcloud: StubGcloud, google: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        google.answers("/hooks/signed", {"code": "signature_mismatch"}, status=401, method="POST")
    assert on_gcp("--yes") == 1
    output = capsys.readouterr().out
    assert "the signature does not match" in output
    assert "hookchain logs --function receive --platform gcp" in output
    assert on_gcp("--yes", "--json") == 1
    [stage] = json.loads(capsys.readouterr().out)["stages"]
    assert (stage["stage"], stage["ok"]) == ("accepted", False)
