"""A configuration, gcloud and Google's APIs for the doctor."""

from pathlib import Path
from typing import Final

import pytest

from deploy.doctor.google import PERMISSIONS
from deploy.terminal.finding import ok
from tests.google_stand_in import StandIn
from tests.stub_gcloud import StubGcloud
from tests.unit.cli.doctor.examined import HELP, PROJECT, good_answers

CONFIG: Final = """
sources: {shop: {auth: {scheme: header, secret: shop-password}}}
routes: [{name: all of it, to: people}]
destinations: {people: {email: {to: ann@example.com, from: hooks@example.com}}}
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(path))
    monkeypatch.setenv("HOOKCHAIN_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("deploy.doctor.machine.clock", lambda: ok("right"))
    return path


@pytest.fixture
def gcloud(gcloud: StubGcloud) -> StubGcloud:
    gcloud.answers("auth print-access-token", "ya29.token\n")
    gcloud.answers("version", {"Google Cloud SDK": "578.0.0"})
    gcloud.answers("run deploy --help", HELP)
    gcloud.answers("config get-value account", "ann@example.com\n")
    return gcloud


@pytest.fixture
def google(google: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A project in which everything is as it should be."""
    monkeypatch.setenv("SENDGRID_API_URL", f"{google.url}/sendgrid")
    for path, answer in good_answers().items():
        google.answers(path, answer)
    tested = f"/cloudresourcemanager/v3/projects/{PROJECT}:testIamPermissions"
    google.answers(tested, {"permissions": list(PERMISSIONS)}, method="POST")
    return google
