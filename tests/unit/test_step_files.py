from pathlib import Path

import pytest

from deploy.step_files import UnreadableFile, with_files


def test_a_file_in_a_steps_settings_becomes_its_text(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("Grüße", encoding="utf-8")

    settings = with_files({"data.note": {"file": "note.txt"}, "data.file": {"file": 7}}, "set", tmp_path)

    assert settings == {"data.note": "Grüße", "data.file": {"file": 7}}


def test_a_file_that_is_no_text_becomes_base64(tmp_path: Path) -> None:
    (tmp_path / "descriptors.pb").write_bytes(b"\xff\x00")

    assert with_files({"x": {"file": "descriptors.pb"}}, "set", tmp_path) == {"x": {"base64": "/wA="}}


@pytest.mark.parametrize("name", ["missing.json", "a\0b", ""])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFile, match="relative to the configuration's folder, cannot be read"):
        with_files({"x": {"file": name}}, "set", tmp_path)
