"""The processes of the supervisor: their plan, restarts, and the files that it watches."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.config.running_dev import ports_from
from deploy.dev.supervisor.processes import Child, Folders, affected, base_environ, plan_children
from deploy.dev.supervisor.reloader import changes, snapshot
from deploy.dev.supervisor.state_folder import StateFault, locked

PORTS = ports_from(8080)


# The plan


def plan(sendgrid_key: str | None = "SG.x", inherited: Mapping[str, str] | None = None) -> dict[str, Child]:
    secrets = {"receive": {"FORM_PASSWORD": "p"}, "transform": {}, "notify": {"CRM_KEY": "k"}}
    folders = Folders(Path("/checkout"), Path("/state"), Path("/sockets"))
    return {child.name: child for child in plan_children(folders, PORTS, inherited or {}, secrets, sendgrid_key)}


def test_functions_run_under_functions_framework_on_loopback() -> None:
    receive = plan()["receive"]
    assert receive.command[0].endswith("functions-framework")
    assert receive.command[1:] == (
        *("--source", "functions/receive/main.py", "--target", "receive", "--host", "127.0.0.1", "--port", "8080"),
    )
    assert receive.environ["HOOKCHAIN_SLICE"] == "/state/slices/receive.json"
    assert receive.environ["PUBSUB_EMULATOR_HOST"] == "127.0.0.1:8085"


def test_a_secret_goes_to_the_function_that_needs_it_and_nowhere_else() -> None:
    children = plan(inherited={"FORM_PASSWORD": "p", "PATH": "/bin"})
    assert [name for name, child in children.items() if "FORM_PASSWORD" in child.environ] == ["receive"]
    assert [name for name, child in children.items() if "CRM_KEY" in child.environ] == ["notify"]
    assert all(child.environ["PATH"] == "/bin" for child in children.values())


def test_mails_are_caught_unless_they_are_to_be_sent() -> None:
    shell = {"SENDGRID_API_KEY": "real", "SMTP_URL": "smtp://real", "DEBUG": "1", "PORT": "1"}
    caught = plan("SG.local", base_environ(shell, send_mail=False))["notify"].environ
    assert (caught["SENDGRID_API_KEY"], caught["SENDGRID_API_URL"]) == ("SG.local", "http://127.0.0.1:8085")
    assert not {"SMTP_URL", "DEBUG", "PORT"} & caught.keys()
    sent = plan(None, base_environ(shell, send_mail=True))["notify"].environ
    assert (sent["SENDGRID_API_KEY"], sent["SMTP_URL"]) == ("real", "smtp://real")
    assert "SENDGRID_API_URL" not in sent


def test_a_change_restarts_the_processes_whose_code_it_is() -> None:
    children = list(plan().values())
    assert affected(children, [Path("/checkout/functions/notify/notify.py")]) == ("notify",)
    assert affected(children, [Path("/checkout/deploy/dev/inspector/app.js")]) == ("apis", "inspector")
    assert {"receive", "transform", "notify"} <= set(affected(children, [Path("/checkout/shared/event.py")]))
    assert affected(children, [Path("/checkout/README.md")]) == ()


# Watching, the lock


def test_changes_are_seen_and_other_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "gone.py").write_text("1")
    before = snapshot([tmp_path, tmp_path / "missing.yaml"])
    (tmp_path / "gone.py").unlink()
    (tmp_path / "new.html").write_text("1")
    (tmp_path / "notes.md").write_text("1")
    (tmp_path / "__pycache__" / "a.py").write_text("1")
    assert changes(before, before) == ()
    assert changes(before, snapshot([tmp_path])) == (tmp_path / "gone.py", tmp_path / "new.html")


def test_a_state_folder_serves_one_at_a_time(tmp_path: Path) -> None:
    message = r"in use by another `make dev` \(process \d+\)"
    with locked(tmp_path / "state"), pytest.raises(StateFault, match=message), locked(tmp_path / "state"):
        pass
    with locked(tmp_path / "state"):
        pass
