"""`hookchain dev` as people use it: its words, its line to try, its reloading, and that nothing outlives it."""

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pytest

from deploy.config.dotenv import read_dotenv
from deploy.config.running_dev import config_faults
from deploy.dev.caught import Mailbox
from tests.running.ports import free_base
from tests.running.processes import PATIENCE_SECONDS, ROOT, is_open

GAP_SECONDS: Final = 0.02


@dataclass(slots=True)
class Posted:
    """The names of the events that were answered 200, and what the others were answered."""

    accepted: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


@contextmanager
def posting(port: int, password: str, keeps_alive: bool) -> Iterator[Posted]:
    """Post to /form while the block runs, each event over a connection of its own, and from a second thread over one
    that is kept where the server keeps it. No post is made twice."""
    posted, ended = Posted(), threading.Event()
    credentials = base64.b64encode(f"web:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}

    def post(name: str, connection: http.client.HTTPConnection) -> None:
        try:
            connection.request("POST", "/form", json.dumps({"customerName": name}), headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as fault:
            posted.others.append(f"{name}: {fault!r}")
            connection.close()
            return
        (posted.accepted if answer.status == 200 else posted.others).append(name)

    def post_on(thread: str, is_kept: bool) -> None:
        connection, number = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS), 0
        while not ended.wait(GAP_SECONDS):
            post(f"{thread}{number}", connection)
            number += 1
            if not is_kept:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=post_on, args=("new", False))]
    threads += [threading.Thread(target=post_on, args=("kept", True))] if keeps_alive else []
    for thread in threads:
        thread.start()
    try:
        yield posted
    finally:
        ended.set()
        for thread in threads:
            thread.join()


CONFIG: Final = """
sources:
  form:
    auth: {scheme: basic, username: web, secret: form-password}
routes:
  - name: tell
    from: form
    to: list
destinations:
  list:
    email: {to: [ann@example.com], subject: "New: {{ data.customerName }}"}
"""
OFFSETS: Final = (0, 1, 2, 5, 10)


class Dev:
    """One `hookchain dev`, with all it needs in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.base = free_base()
        self.config, self.env = folder / "hookchain.yaml", folder / "env"
        if not self.config.exists():
            self.config.write_text(CONFIG, encoding="utf-8")
        self._log = folder / f"output-{self.base}"
        command = [sys.executable, "-m", "deploy.cli", "dev", "--config", str(self.config)]
        command += ["--state", str(folder / "state"), "--env-file", str(self.env), *arguments]
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PORT_BASE": str(self.base)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def until(self, holds: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > give_up_at:
                raise TimeoutError(self.output[-3000:])
            time.sleep(0.05)

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.output)

    def ports_open(self) -> list[int]:
        return [self.base + offset for offset in OFFSETS if is_open(self.base + offset)]

    def pids(self, part: str) -> list[int]:
        table = subprocess.run(["ps", "-Aww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.strip().partition(" ") for line in table.splitlines()]
        return [int(pid) for pid, _, arguments in rows if part in arguments]

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_SECONDS)


class Start(Protocol):
    def __call__(self, *arguments: str) -> Dev: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def begin(*arguments: str) -> Dev:
            dev = Dev(tmp_path, *arguments)
            stack.callback(end, dev)
            return dev

        yield begin


def end(dev: Dev) -> None:
    if dev.process.poll() is None:
        dev.process.terminate()
        dev.process.wait(PATIENCE_SECONDS)
    dev.until(lambda: not dev.ports_open())


def test_the_line_it_prints_works_as_printed(start: Start, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "journal.db").touch()
    for path in (state, state / "journal.db", tmp_path / "env"):
        path.touch()
        path.chmod(0o755)
    dev = start("--no-reload")
    dev.until_said("Press Ctrl-C to stop.")
    assert f"http://127.0.0.1:{dev.base}/form  basic auth; user: web; password: FORM_PASSWORD" in dev.output
    assert f"http://127.0.0.1:{dev.base + 10}" in dev.output
    line = next(line.strip() for line in dev.output.splitlines() if line.strip().startswith("curl "))
    answer = subprocess.run(["sh", "-c", f"{line} --silent"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r'\{"id": ?"[0-9a-f]{32}"\}', answer)
    dev.until_said("notify    delivered")
    assert "\x1b[" not in dev.output
    assert dev.env.stat().st_mode & 0o777 == 0o600
    exposed = [path for path in (state, *state.rglob("*")) if path.stat().st_mode & 0o077 and not path.is_socket()]
    assert exposed == []
    dev.process.kill()  # itself: no process of it may outlive it
    dev.process.wait(PATIENCE_SECONDS)
    dev.until(lambda: not dev.ports_open())


@pytest.mark.slow
def test_the_line_that_the_page_shows_works_and_holds_no_secret(start: Start) -> None:
    dev = start("--no-reload")
    dev.until_said("Press Ctrl-C to stop.")
    [(name, secret)] = read_dotenv(dev.env).items()
    assert name == "FORM_PASSWORD"
    [token] = re.findall(rf"http://127.0.0.1:{dev.base + 10}/\?token=(\S+)", dev.output)
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://127.0.0.1:{dev.base + 10}/api/live", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as live:
        shown = ""
        while '"trial"' not in shown:
            shown = live.readline().decode()
            assert secret not in shown
    line = json.loads(shown.removeprefix("data: "))["trial"]
    done = subprocess.run(
        f"{line} --env-file {dev.env}", shell=True, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_ctrl_c_stops_everything_and_nothing_stays(start: Start) -> None:
    dev = start("--no-reload")
    dev.until_said("Hookchain is up")
    assert len(dev.ports_open()) == 5
    assert dev.interrupt() == 0
    assert dev.output.endswith("Stopped. Events are kept in " + f"{dev.config.with_name('state')}/.\n")
    assert dev.ports_open() == []
    assert dev.pids(f"--port {dev.base}") == []


def test_a_changed_configuration_is_served_and_its_faults_are_shown(start: Start) -> None:
    dev = start()
    dev.until_said("Hookchain is up")
    dev.config.write_text(CONFIG.replace("to: list", "to: lost"), encoding="utf-8")
    dev.until_said("hookchain.yaml changed; the previous configuration is still in use:")
    dev.until_said("there is no destination 'lost'")
    dev.until(lambda: "there is no destination 'lost'" in config_faults(dev.config.with_name("state")))  # for the page
    shop = CONFIG.replace("form:", "shop:").replace("from: form", "from: shop")
    unwritable = dev.config.with_name("state") / "slices" / "transform.new"
    unwritable.mkdir()  # as on a full disk
    dev.config.write_text(shop, encoding="utf-8")
    dev.until_said("Is a directory")
    dev.until(lambda: "Is a directory" in config_faults(dev.config.with_name("state")))
    unwritable.rmdir()
    dev.config.write_text(f"{shop}\n", encoding="utf-8")
    dev.until_said("hookchain.yaml changed: restarted receive, transform")
    dev.until(lambda: config_faults(dev.config.with_name("state")) == "")
    dev.until_said(f"Send webhooks to http://127.0.0.1:{dev.base}/shop  basic auth; user: web; password: FORM_PASSWORD")


@pytest.mark.slow
def test_subscribers_come_and_go_with_the_configuration(start: Start) -> None:
    dev = start()
    dev.until_said("Hookchain is up")
    customers = "  customers: {subscribers: {tenant: data.accountId}}\nsubscribers: {event_types: {file: types.yaml}}\n"
    dev.config.with_name("types.yaml").write_text("order.paid: {}\n", encoding="utf-8")
    dev.config.write_text(f"{CONFIG}{customers}", encoding="utf-8")
    dev.until_said(f"http://127.0.0.1:{dev.base + 3}/portal, which")
    dev.until(lambda: is_open(dev.base + 3))
    dev.until_said("env changed")  # by the secret that was made; it would take what changes meanwhile with it
    dev.config.with_name("types.yaml").write_text("order.sent: {}\n", encoding="utf-8")
    dev.until_said("types.yaml changed: restarted subscribe")
    dev.config.write_text(CONFIG, encoding="utf-8")
    dev.until(lambda: not is_open(dev.base + 3))
    assert dev.process.poll() is None


@pytest.mark.slow
def test_a_rejected_configuration_may_be_fixed_in_a_file_that_it_names(start: Start) -> None:
    dev = start()
    dev.until_said("Hookchain is up")
    text = CONFIG.replace('"New: {{ data.customerName }}"', "{file: subject.txt}")
    dev.config.write_text(text, encoding="utf-8")
    dev.until_said("hookchain.yaml changed; the previous configuration is still in use:")
    dev.config.with_name("subject.txt").write_text("{{ type", encoding="utf-8")
    dev.until_said("subject.txt changed; the previous configuration is still in use:")
    dev.config.with_name("subject.txt").write_text("{{ type }}", encoding="utf-8")
    dev.until_said("subject.txt changed: restarted notify")


def test_a_port_in_use_is_reported_with_advice(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        dev = start("--port-base", str(port))
        assert dev.process.wait(PATIENCE_SECONDS) == 1
        assert re.search(rf"^Port {port} \(receive\) is in use", dev.output, re.MULTILINE)
        assert "PORT_BASE=" in dev.output


@pytest.mark.slow
def test_a_state_folder_that_is_removed_ends_it(start: Start, tmp_path: Path) -> None:
    dev = start("--no-reload")
    dev.until_said("Hookchain is up")
    (tmp_path / "state").rename(tmp_path / "removed")  # at once: what is deleted one by one is written again meanwhile
    assert dev.process.wait(PATIENCE_SECONDS) == 1
    assert f"{tmp_path / 'state'}: must exist while Hookchain runs; it was removed" in dev.output
    assert "Traceback" not in dev.output
    assert dev.ports_open() == []


def test_a_configuration_with_faults_is_not_started(start: Start, tmp_path: Path) -> None:
    (tmp_path / "hookchain.yaml").write_text("sources: {form: {}}\n", encoding="utf-8")
    dev = start()
    assert dev.process.wait(PATIENCE_SECONDS) == 1
    assert "source 'form'" in dev.output
    assert "Traceback" not in dev.output


def test_a_weak_secret_stops_the_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FORM_PASSWORD=changeme\n", encoding="utf-8")
    dev = start()
    assert dev.process.wait(PATIENCE_SECONDS) == 1
    assert "Secret 'form-password' (FORM_PASSWORD) is a placeholder" in dev.output


def subjects(dev: Dev) -> list[str]:
    with contextlib.closing(Mailbox(dev.config.with_name("state"))) as mailbox:
        return [mail.subject for mail in mailbox.list_mail(10_000)]


def reload_under_load(dev: Dev, keeps_alive: bool) -> None:
    """Change the configuration for each function, twice, and require that every post is accepted and mailed."""
    dev.until_said("Press Ctrl-C")
    with posting(dev.base, read_dotenv(dev.env)["FORM_PASSWORD"], keeps_alive) as posted:
        for number in range(1, 3):
            text = CONFIG.replace("  form:\n", f"  form:\n    max_body_bytes: {number}000\n")
            text = text.replace("tell", f"tell {number}").replace("New:", f"New {number}:")
            dev.config.write_text(text, encoding="utf-8")
            dev.until(lambda: dev.output.count("changed: restarted receive, ") == number)  # noqa: B023 it is called here
            count = len(posted.accepted)
            dev.until(lambda: len(posted.accepted) > count + 20)  # noqa: B023 it is called here
    assert posted.others == []
    dev.until(lambda: {each.split()[-1] for each in subjects(dev)} >= set(posted.accepted))


@pytest.mark.slow
def test_a_reload_refuses_no_connection_and_loses_no_event(start: Start) -> None:
    reload_under_load(start(), keeps_alive=True)
