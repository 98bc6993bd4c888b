"""gcloud for the smoke tests."""

from pathlib import Path

import pytest

from tests.stub_gcloud import StubGcloud
from tests.unit.cli.smoke.smoking import CONFIG


@pytest.fixture
def gcloud(gcloud: StubGcloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubGcloud:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    gcloud.answers("auth print-access-token", "ya29.token\n")
    return gcloud
