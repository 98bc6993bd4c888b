"""The processes of the supervisor: their plan, also on the local Lambda; running, restarting and ending them."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from deploy.config.running_dev import HOST, ports_from
from deploy.dev.supervisor import reaper
from deploy.dev.supervisor.processes import Child, Folders, affected, base_environ, plan_aws_children, plan_children
from deploy.dev.supervisor.reloader import changes, snapshot
from deploy.dev.supervisor.runner import ReaperLink, Runner
from deploy.dev.supervisor.state_folder import StateFault, locked
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
    with locked(tmp_path / "state"), pytest.raises(StateFault, match=message), locked(tmp_path / "state"):
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
