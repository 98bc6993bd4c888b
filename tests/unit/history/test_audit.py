"""The audit log."""

from pathlib import Path

import pytest

from deploy.history.audit import audited
from deploy.terminal.command_line import CommandError


def test_nothing_is_done_without_a_folder_for_the_record(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="utf-8")
    with (
        pytest.raises(CommandError, match=r"audit\.jsonl cannot be written \(File exists\), so nothing was changed"),
        audited(tmp_path / "state", "", "hookchain pause", "pause crm"),
    ):
        pytest.fail("the action was begun")
