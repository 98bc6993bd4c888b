"""`hookchain smoke` on this machine."""

from pathlib import Path

import pytest

from deploy.cli.main import main
from tests.processes import wait_for
from tests.stack import running
from tests.stub_gcloud import StubGcloud
from tests.unit.cli.smoke.smoking import CONFIG, smoke


def test_without_dev_the_message_names_the_command_to_start(
    tmp_path: Path, gcloud: StubGcloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smoke", "--state", str(tmp_path / "state")]) == 1
    assert "Start `make dev`, or use --platform gcp" in capsys.readouterr().err
    assert main(["smoke", "--source", "singed"]) == 2
    assert "did you mean 'signed'?" in capsys.readouterr().err


@pytest.mark.slow
def test_through_the_whole_pipe_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path, CONFIG, {}) as stack:
        assert smoke(stack, tmp_path) == 0
        output = capsys.readouterr().out
        assert "✓ accepted" in output
        assert "route 'orders' matched" in output
        assert "✓ delivered" in output
        assert smoke(stack, tmp_path, "--source", "in-path") == 1
        assert "no route matched" in capsys.readouterr().out
        (tmp_path / "big.json").write_text('{"event": "x", "plan": "big"}')
        assert smoke(stack, tmp_path, "--source", "in-path", "--file", str(tmp_path / "big.json")) == 0
        assert "It works: 2 of 2 delivered." in capsys.readouterr().out
        assert smoke(stack, tmp_path, "--source", "pay") == 0
        assert "route 'money' matched: from 'pay'; type 'invoice.payment_failed'" in capsys.readouterr().out
        assert smoke(stack, tmp_path, "--source", "chat") == 1
        assert "`hookchain trigger`" in capsys.readouterr().err
        assert stack.trouble({"mail": {"unplugged": True}})
        assert smoke(stack, tmp_path) == 1
        assert "✗ retry_scheduled" in capsys.readouterr().out

        def is_logged() -> bool:
            """Return whether the log has the retry: the supervisor writes it after the journal has it."""
            assert main(["logs", "--state", str(stack.state), "--function", "notify"]) == 0
            return "warning: retry scheduled" in capsys.readouterr().out

        wait_for(is_logged)
