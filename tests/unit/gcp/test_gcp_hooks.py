"""`hookchain hooks --platform gcp`: Secret Manager has the secret, and Firestore what is remembered."""

import base64
from pathlib import Path

import pytest

from deploy.history.gcp import EMULATED
from shared.cloud import platform
from tests.fakes.command import Command
from tests.gcloud.stub import StubGcloud
from tests.gcp.firestore_memory import MemoryStore
from tests.gcp.firestore_server import FirestoreServer
from tests.gcp.serving import served
from tests.stand_ins.google_apis import StandIn
from tests.stand_ins.hook_providers import TOKEN, GitHub

PROJECT = "acme-hooks"
CONFIG = """
sources: {github: {provider: github, secret: github-secret, hook: {token: github-token, at: acme/shop}}}
routes: [{name: pushes, types: [push], to: people}]
destinations: {people: {email: {to: [ann@example.com], from: hooks@example.com}}}
"""
SECRET = "a value that GitHub signs with"
URL = "https://hookchain-receive-abc-ew.a.run.app"


def test_a_hook_is_registered_and_removed(
    google: StandIn, gcloud: StubGcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    gcloud.answers("auth print-access-token", "ya29.token\n")
    google.answers(f"/run/v2/projects/{PROJECT}/locations/europe-west1/services/hookchain-receive", {"uri": URL})
    for name, value in (("github-secret", SECRET), ("github-token", TOKEN)):
        path = f"/secretmanager/v1/projects/{PROJECT}/secrets/hookchain-{name}/versions/latest"
        google.answers(path, {"name": "x", "state": "ENABLED", "createTime": "2026-01-01T00:00:00Z"})
        data = base64.b64encode(value.encode()).decode()
        google.answers(f"{path}:access", {"name": "x", "payload": {"data": data}})
    github = GitHub()
    monkeypatch.setattr(platform, "fetch", lambda *, keeps=True: github)
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    where = ("--platform", "gcp", "--project", PROJECT)
    with served(FirestoreServer(MemoryStore()).app()) as host:
        for name in EMULATED:
            monkeypatch.setenv(name, host)
        command("hooks", "plan", *where, code=3)
        command("hooks", "apply", "--yes", *where)
        [hook] = github.hooks.values()
        assert hook["config"] == {
            "url": f"{URL}/github",
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": SECRET,
        }
        assert "acme/shop: nothing differs" in command("hooks", "plan", *where)
        command("hooks", "remove", "--yes", *where)
    assert not github.hooks


@pytest.mark.usefixtures("google", "gcloud")
def test_without_a_sign_in_the_command_says_how_to_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    with served(FirestoreServer(MemoryStore()).app()) as host:
        for name in EMULATED:
            monkeypatch.setenv(name, host)
        command("hooks", "plan", "--url", URL, "--platform", "gcp", "--project", PROJECT, code=1)
    assert "hookchain hooks: nobody is signed in to gcloud. Run: gcloud auth login" in command.error
