"""The processes of the supervisor: their plan, also on the local Lambda; running, restarting and ending them."""

import asyncio
import errno
import io
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, strategies as st

from deploy.config.local_ports import HOST, ports_from
from deploy.config.running_dev import DevFile, read_dev_file, remove_dev_file, write_dev_file
from deploy.dev.supervisor import reaper
from deploy.dev.supervisor.banner import source_lines
from deploy.dev.supervisor.children import Children
from deploy.dev.supervisor.output import ROUTINE_LINES, Output
from deploy.dev.supervisor.processes import Child, Folders, affected, base_environ, plan_aws_children, plan_children
from deploy.dev.supervisor.reloader import changes, snapshot
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.setup import Setup
from deploy.dev.supervisor.state_folder import locked
from deploy.history.local_journal import JournalReader
from deploy.requests.command_lines import first_event_line, first_event_line_without_secret
from deploy.requests.events import sample_beside
from deploy.terminal.command_line import CommandError
from deploy.terminal.log_view import LogView
from shared.jsontext import JsonObject, to_json
from shared.settings import read_settings
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, is_open

FOREVER = "import time\nprint('ready', flush=True)\ntime.sleep(600)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
SERVER = (
    "from deploy.dev.local_server import listening_socket\n"
    "listener = listening_socket(0)\n"  # the one that it was given
    "listener.setblocking(True)\n"
    "print('ready', flush=True)\n"
    "listener.accept()\n"
    "print('first', flush=True)\n"
    "listener.accept()\n"
)
MASTER = (
    "import os, subprocess, sys, time\n"
    "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(worker.pid, os.getpid(), flush=True)\n"
    "time.sleep(600)\n"
)
PARENT = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)\n"
)


class Recorder:
    """The output of a runner's child, and the messages of the runner."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.messages: list[str] = []
        self._more = asyncio.Event()

    def append_lines(self, name: str, lines: object) -> None:
        assert isinstance(lines, list)
        self.lines += lines
        self._more.set()

    def say(self, severity: str, text: str) -> None:
        self.messages.append(f"{severity} {text}")
        self._more.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self._more.clear()
                await self._more.wait()


def child(program: str, port: int = 0) -> Child:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Child("child", (sys.executable, "-c", program), environ, port, "/", ())


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def start(tmp_path: Path, recorder: Recorder) -> AsyncIterator[Callable[[str], Runner]]:
    running: list[tuple[Runner, asyncio.Task[None]]] = []
    with ReaperLink(tmp_path / "sockets") as link:

        def begin(program: str) -> Runner:
            runner = Runner(child(program), tmp_path, link, recorder.append_lines, recorder.say)
            running.append((runner, asyncio.create_task(runner.run())))
            return runner

        yield begin
        for runner, task in running:
            await runner.stop()
            await task


async def test_a_child_that_dies_is_started_again(start: Callable[[str], Runner], recorder: Recorder) -> None:
    runner = start("import sys\nprint('here', flush=True)\nsys.exit(3)\n")
    await recorder.until(lambda: recorder.lines.count("here") >= 2)
    assert recorder.messages[0] == "ERROR child ended with exit status 3; restarting in 0.25 s"
    assert runner.failures >= 1


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("free", "message"), [(2**30, "apis does not start. See its messages above"), (0, "must have 4 MiB free")]
)
async def test_a_child_that_cannot_start_is_named_or_the_full_disk(
    free: int, message: str, tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr("deploy.dev.supervisor.runner.FIRST_WAIT_SECONDS", 0.01)
    setup = SimpleNamespace(
        children=lambda _: (replace(child("raise OSError(28)", free_port()), name="apis"),),
        folders=SimpleNamespace(root=tmp_path, state=tmp_path),
        options=SimpleNamespace(command="make dev"),
        stop_seconds=1.0,
    )
    with ReaperLink(tmp_path / "sockets") as link:
        children = Children(cast("Setup", setup), link, cast("Output", recorder))
        children.start()
        with pytest.raises(CommandError, match=message):
            await children.wait_until_answering()
        await children.stop()


async def test_a_child_that_is_stopped_leaves_no_process_of_its_own_behind(tmp_path: Path, recorder: Recorder) -> None:
    with ReaperLink(tmp_path / "sockets") as link:
        runner = Runner(child(PARENT), tmp_path, link, recorder.append_lines, recorder.say)
        task = asyncio.create_task(runner.run())
        await recorder.until(lambda: "ready" in recorder.lines)
        await runner.stop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await task  # it listens until nobody holds the child's output any more


def begin_group(program: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


def wait_for_end(process: "subprocess.Popen[str]") -> threading.Thread:
    """Wait for it in a thread: until its parent has taken note of its end, a process is there."""
    waiting = threading.Thread(target=process.wait)
    waiting.start()
    return waiting


def test_the_reaper_ends_what_is_left_and_removes_its_folder(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir()
    left, taken_back = begin_group(FOREVER), begin_group(FOREVER)
    waiting = wait_for_end(left)
    with ReaperLink(tmp_path / "sockets") as link:
        link.watch(left.pid)
        link.watch(taken_back.pid)
        link.forget(taken_back.pid)
    waiting.join(PATIENCE_SECONDS)
    assert left.returncode == -signal.SIGTERM
    assert taken_back.poll() is None
    taken_back.kill()
    taken_back.wait()
    assert not (tmp_path / "sockets").exists()


def test_a_reaper_that_is_killed_is_replaced_by_one_that_knows_the_groups(tmp_path: Path) -> None:
    groups = [begin_group(FOREVER) for _ in range(3)]
    waiting = [wait_for_end(group) for group in groups]
    with ReaperLink(tmp_path / "sockets") as link:
        link.watch(groups[0].pid)
        link._process.kill()
        link._process.wait()
        link.watch(groups[1].pid)
        link.require_reaper()
        link.watch(groups[2].pid)
    for each in waiting:
        each.join(PATIENCE_SECONDS)
    assert [each.returncode for each in groups] == [-signal.SIGTERM] * 3


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    stubborn = begin_group(STUBBORN)
    reaper.end_groups([stubborn.pid], 0.1)
    assert stubborn.wait(PATIENCE_SECONDS) == -signal.SIGKILL


async def test_a_worker_ends_with_its_master_and_the_child_is_started_again(
    start: Callable[[str], Runner], recorder: Recorder
) -> None:
    start(MASTER)
    await recorder.until(lambda: len(recorder.lines) >= 1)
    worker, master = map(int, recorder.lines[0].split())
    os.kill(master, signal.SIGKILL)
    await recorder.until(lambda: len(recorder.lines) >= 2)
    assert recorder.messages == ["ERROR child was ended by SIGKILL; restarting in 0.25 s"]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while is_alive(worker):
            await asyncio.sleep(0.01)


async def test_a_connection_waits_while_one_process_replaces_another(tmp_path: Path, recorder: Recorder) -> None:
    port = free_port()
    with ReaperLink(tmp_path / "sockets") as link:
        runner = Runner(child(SERVER, port), tmp_path, link, recorder.append_lines, recorder.say)
        task = asyncio.create_task(runner.run())
        await recorder.until(lambda: "ready" in recorder.lines)
        await runner.replace(child(SERVER.replace("first", "second"), port))
        _, writer = await asyncio.open_connection(HOST, port)  # no process serves now
        await recorder.until(lambda: recorder.lines[-1] == "second")
        writer.close()
        await runner.stop()
        await task
    assert not is_open(port)
    assert recorder.messages == []


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
    with locked(tmp_path / "state"), pytest.raises(CommandError, match=message), locked(tmp_path / "state"):
        pass
    with locked(tmp_path / "state"):
        pass


def lambda_plan(sendgrid_key: str | None = None, inherited: Mapping[str, str] | None = None) -> dict[str, Child]:
    secrets = {"receive": {"form-password": "p"}, "transform": {}, "notify": {"crm-key": "k"}}
    folders = Folders(Path("/checkout"), Path("/state"), Path("/sockets"))
    timeouts = {"receive": 30, "transform": 60, "notify": 90}
    children = plan_aws_children(folders, PORTS, inherited or {}, secrets, timeouts, sendgrid_key)
    return {child.name: child for child in children}


def test_a_function_has_the_settings_of_a_deployment_on_aws() -> None:
    environ = {**lambda_plan()["transform"].environ, "AWS_LAMBDA_FUNCTION_NAME": "transform"}
    settings = read_settings(environ)
    assert settings.is_aws
    assert not settings.is_local
    assert settings.aws_endpoint == "http://127.0.0.1:8085"
    assert settings.queues["events"] == "http://127.0.0.1:8085/000000000000/hookchain-events"
    assert str(settings.slice_file) == "/state/slices/transform.json"


def test_on_lambda_a_secret_goes_to_the_function_that_needs_it_and_nowhere_else() -> None:
    children = lambda_plan(inherited={"FORM_PASSWORD": "p", "CRM_KEY": "k"})
    assert children["receive"].command[-2:] == ("--secrets", "form-password")
    assert [name for name, child in children.items() if "FORM_PASSWORD" in child.environ] == ["receive"]
    assert [name for name, child in children.items() if "CRM_KEY" in child.environ] == ["notify"]


def test_a_persons_own_clouds_are_not_inherited() -> None:
    own = {"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "t", "GOOGLE_CLOUD_PROJECT": "p", "K_SERVICE": "receive"}
    environ = lambda_plan(inherited=own | {"HOME": "/home"})["notify"].environ
    assert environ["HOME"] == "/home"
    assert not own.keys() & environ.keys()


def test_a_change_of_the_local_lambda_restarts_the_functions() -> None:
    changed = [Path("/checkout/deploy/dev/aws/function_url.py")]
    assert affected([*lambda_plan().values()], changed) == ("apis", "receive", "transform", "notify")


REQUEST: JsonObject = {
    "message": "accepted",
    "time": "2026-09-21T14:13:20.500Z",
    "function": "receive",
    "method": "POST",
    "status": 200,
    "source": "web",
    "event_id": "e1",
}


def test_a_file_on_a_full_disk_that_takes_no_word_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(LogView("INFO", colours=False), lambda: pytest.fail("somebody reads still"), tmp_path)
    monkeypatch.setattr(sys, "stdout", FullDisk())
    output.say("ERROR", "notify ended with exit status 1")
    output.file.close()
    assert "notify ended" in (tmp_path / "log.jsonl").read_text(encoding="utf-8")


async def test_a_line_of_receive_is_shown_and_journaled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(LogView("INFO", colours=False), lambda: None, tmp_path)
    feeding = asyncio.create_task(output.requests.run())
    output.append_lines("receive", ["Traceback", to_json(REQUEST)])
    output.append_lines("notify", [to_json({**REQUEST, "event_id": "e2"})])
    with JournalReader(tmp_path / "journal.db") as reader:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while reader.event("e1") is None:
                await asyncio.sleep(0.01)
        assert reader.event("e2") is None
    feeding.cancel()
    await asyncio.wait([feeding])
    output.file.close()
    shown = capsys.readouterr().out
    assert "receive   Traceback" in shown
    assert "receive   accepted  source=web" in shown
    assert "e1" in (tmp_path / "log.jsonl").read_text(encoding="utf-8")


async def test_under_load_routine_lines_are_left_out_and_counted_and_errors_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(LogView("INFO", colours=False), lambda: None, tmp_path)
    routine = [f'{{"severity":"INFO","message":"delivered","event_id":"e{n}"}}' for n in range(ROUTINE_LINES + 9)]
    output.append_lines("notify", [*routine, '{"severity":"ERROR","message":"not done"}', "Traceback"])
    output.close()
    shown = capsys.readouterr().out
    assert shown.count("delivered") == ROUTINE_LINES
    assert "error: not done" in shown
    assert "Traceback" in shown
    assert shown.endswith("dev       9 lines left out here: `hookchain logs` prints every line\n")
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").count("delivered") == ROUTINE_LINES + 9


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


# The messages of the supervisor

CLOCK = "12:00:00.000"


# Log lines


@given(st.text())
def test_no_line_breaks_the_view_or_colours_it(line: str) -> None:
    shown = LogView().process_line("receive", line, CLOCK)
    assert shown is None or "\x1b" not in shown


def slices(*auth: JsonObject) -> dict[str, JsonObject]:
    return {
        "receive": {"sources": {"form": {"auth": list(auth), "methods": ["POST"], "max_body_bytes": 262_144}}},
        "transform": {"routes": [{"name": "r", "from": ["form"], "types": ["signup.*"], "to": ["x"]}]},
    }


@pytest.mark.parametrize(
    ("auth", "command"),
    [
        ({"scheme": "basic", "username": "web", "secret": "pw"}, "curl -u web:s3cret -H"),
        ({"scheme": "header", "header": "X-Key", "secret": "pw"}, "curl -H 'X-Key: s3cret' -H"),
        ({"scheme": "none"}, "curl -H 'Content-Type: application/json' -d"),
    ],
)
def test_the_line_to_try_proves_its_sender(auth: JsonObject, command: str) -> None:
    line = first_event_line(slices(auth), PORTS, {"PW": "s3cret\nolder"})
    assert line
    assert line.startswith(command)
    assert '"event":"signup.created"' in line
    assert line.endswith(" http://127.0.0.1:8080/form")


@pytest.mark.parametrize(
    ("auth", "options"),
    [
        ({"scheme": "basic", "username": "web"}, "--basic web --secret pw"),
        ({"scheme": "header", "header": "X-Key"}, "--password-header X-Key --secret pw"),
        ({"scheme": "path"}, "--source form --secret pw"),
        ({"scheme": "standard-webhooks"}, "--standard-webhooks --secret pw"),
    ],
)
def test_the_line_that_others_may_read_names_the_secret(auth: JsonObject, options: str) -> None:
    line = first_event_line_without_secret(slices({**auth, "secret": "pw"}), PORTS)
    assert line
    assert f" send http://127.0.0.1:8080/form {options} --data " in line


def test_a_token_in_the_url_is_quoted() -> None:
    line = first_event_line(slices({"scheme": "query", "parameter": "key", "secret": "pw"}), PORTS, {"PW": "a/b"})
    assert line
    assert line.endswith("'http://127.0.0.1:8080/form?key=a%2Fb'")


def test_a_sample_beside_the_configuration_is_posted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample.form").write_text("x")
    monkeypatch.chdir(tmp_path.parent)
    sample = sample_beside(tmp_path / "hookchain.yaml")
    line = first_event_line(slices({"scheme": "none"}), PORTS, {}, sample)
    assert line
    content_type = "Content-Type: application/x-www-form-urlencoded"
    assert shlex.split(line)[1:5] == ["-H", content_type, "--data-binary", f"@{tmp_path.name}/sample.form"]


def test_each_source_says_where_and_how() -> None:
    auth: list[JsonObject] = [{"scheme": "basic", "username": "web", "secret": "form-password"}, {"scheme": "none"}]
    lines = source_lines({"form": {"auth": list(auth)}}, PORTS)
    assert lines == ["http://127.0.0.1:8080/form  basic auth; user: web; password: FORM_PASSWORD or no authentication"]


def test_what_runs_can_be_found_and_only_by_its_owner(tmp_path: Path) -> None:
    dev = DevFile(
        PORTS,
        trial="curl …",
        sources=("http://…",),
        config="/x.yaml",
        by_name=True,
        unchanged_since=1.5,
        faults="x.yaml:7: …",
        env_file="/x.env",
        env_version=7,
        sends_mail=True,
        aws={"AWS_REGION": "eu-central-1"},
    )
    write_dev_file(tmp_path, dev)
    assert read_dev_file(tmp_path) == dev
    assert stat.S_IMODE((tmp_path / "dev.json").stat().st_mode) == 0o600
    remove_dev_file(tmp_path)
    assert read_dev_file(tmp_path) is None
