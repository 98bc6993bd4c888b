"""A configuration with steps and tests, and the command over it."""

from pathlib import Path

import pytest

from tests.unit.cli.steps.hookchain import CONFIG, Hookchain


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "hookchain.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture
def hookchain(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> "Hookchain":
    (tmp_path / ".env").touch()
    return Hookchain(monkeypatch, capfdbinary, tmp_path / ".env")
