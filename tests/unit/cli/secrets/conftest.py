"""A `.env` of the tests of secrets."""

from pathlib import Path

import pytest

from tests.unit.cli.secrets.typed import CONFIG


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("HOOKCHAIN_CONFIG", str(tmp_path / "hookchain.yaml"))
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mounted"))
    return tmp_path / ".env"
