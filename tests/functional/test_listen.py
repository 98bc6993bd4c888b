"""`hookchain listen`: copies of a deployment's requests reach an application on this machine, whatever sleeps."""

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from deploy.config.dotenv import read_dotenv
from deploy.history.journal_view import EventQuery
from deploy.history.local import open_local_state
from tests.fakes.command import audit_records
from tests.functional.test_dev import Dev
from tests.gcp.deployment import PROJECT, Deployed, deploy
from tests.gcp.firestore_memory import MemoryStore
from tests.running.local_lambda import require_tools
from tests.running.processes import PATIENCE_SECONDS, ROOT
from tests.stand_ins.http_server import Said, Seen, http_stand_in

pytestmark = pytest.mark.slow

CLOUD_SECRET: Final = "the-secret-of-the-cloud"
LISTEN: Final = """
from deploy.cloud_access import inboxes
inboxes.HOLD_SECONDS = 12  # so that what a killed process held comes back soon
import deploy.cli.__main__
"""
CONFIG: Final = """\
sources:
  github: {provider: github, secret: github-secret}
routes: [{name: log, from: github, to: log}]
destinations: {log: {log: {fields: {id: id}}}}
develop: {sources: [github]}
"""


@dataclass
class Application:
    """A local application, which verifies GitHub's signature itself."""

    secret: Callable[[], str]
    deliveries: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        def answer(seen: Seen) -> Said:
            self.take(seen.path, seen.lower_headers, seen.body)
            return Said()

        with http_stand_in(answer, self.port) as url:
            self.port = urlsplit(url).port or 0
            yield

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        if path != "/in" or headers.get("x-hub-signature-256") != signature(self.secret(), body):
            self.faults.append(f"{path} {headers}")
        self.deliveries.append(headers["x-github-delivery"])


def signature(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post_push(url: str, secret: str, number: int, note: str = "") -> None:
    body = json.dumps({"number": number, "note": note}, indent=1).encode()  # not as we would write it
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": f"delivery-{number}",
        "X-Hub-Signature-256": signature(secret, body),
    }
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == 200


@dataclass
class Listener:
    """A running `hookchain listen`. `lines` are what it printed."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def until_said(self, text: str) -> None:
        until(lambda: any(text in line for line in self.lines), lambda: "".join(self.lines))


@contextmanager
def listening(folder: Path, environ: Mapping[str, str], *arguments: str) -> Iterator[Listener]:
    command = [sys.executable, "-u", "-c", LISTEN, "listen", "--source", "github", *arguments]
    command += ["--env-file", str(folder / "env"), "--as", "ada"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOOKCHAIN_STATE": str(folder / "state"), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    listener = Listener(process)
    assert process.stdout
    reader = threading.Thread(target=lambda stream: listener.lines.extend(stream), args=(process.stdout,))
    reader.start()
    try:
        listener.until_said("Listening to github")
        yield listener
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
        reader.join()
        process.stdout.close()


def until(is_so: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def bring_a_hundred(
    folder: Path, url: str, cloud_secret: str, environ: Mapping[str, str], *arguments: str, largest: int = 0
) -> None:
    """Post 100 events while the developer's machine sleeps, its application restarts, and `listen` is killed.

    `largest` is the size of the last event.
    """
    application = Application(lambda: read_dotenv(folder / "env")["GITHUB_SECRET"])

    def is_there(count: int) -> bool:
        return len({*application.deliveries}) == count

    with application.running():
        forward = ("--forward", f"http://localhost:{application.port}/in", *arguments)
        with listening(folder, environ, *forward) as listener:
            for number in range(30):
                post_push(url, cloud_secret, number)
            until(lambda: is_there(30), lambda: listener.lines)
            listener.process.send_signal(signal.SIGSTOP)
            for number in range(30, 60):
                post_push(url, cloud_secret, number)
            assert is_there(30)
            listener.process.send_signal(signal.SIGCONT)
            until(lambda: is_there(60), lambda: listener.lines)
            listener.process.kill()
            listener.process.wait(PATIENCE_SECONDS)
        for number in range(60, 80):
            post_push(url, cloud_secret, number)
    with listening(folder, environ, *forward) as listener:
        listener.until_said("waiting for http://localhost")
        for number in range(80, 100):
            post_push(url, cloud_secret, number, "x" * largest if number == 99 else "")
        with application.running():
            until(lambda: is_there(100), lambda: listener.lines)
        listener.process.send_signal(signal.SIGINT)
        listener.until_said("The lease has ended")
    assert application.faults == []
    assert {*application.deliveries} == {f"delivery-{number}" for number in range(100)}
    records = audit_records(folder / "state")
    assert [record["what"] for record in records] == ["copy requests to github as ada for 8 h, renewed"] * 2


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    secrets = {"GITHUB_SECRET": CLOUD_SECRET}
    with deploy(tmp_path_factory.mktemp("cloud"), MemoryStore(), CONFIG, secrets) as up:
        yield up


def test_a_hundred_of_a_hundred_events_arrive_from_google_cloud(deployed: Deployed, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{deployed.ports['receive']}/github"
    where = ("--platform", "gcp", "--project", PROJECT)
    bring_a_hundred(tmp_path, url, CLOUD_SECRET, deployed.environ, *where, largest=300_000)


def test_a_hundred_of_a_hundred_events_arrive_from_the_aws_of_make_dev(tmp_path: Path) -> None:
    require_tools()
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    (cloud / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    dev = Dev(cloud, "--platform", "aws")
    try:
        dev.until_said("Press Ctrl-C")
        environ = {
            "HOOKCHAIN_CONFIG": str(dev.config),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{dev.base + 5}",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
        }
        secret = read_dotenv(dev.env)["GITHUB_SECRET"]
        where = ("--platform", "aws", "--stack", "hookchain", "--region", "us-east-1")
        bring_a_hundred(tmp_path, f"http://127.0.0.1:{dev.base}/github", secret, environ, *where)
    finally:
        dev.interrupt()


def test_a_running_make_dev_gets_the_clouds_events_to_be_stepped_through(deployed: Deployed, tmp_path: Path) -> None:
    (tmp_path / "hookchain.yaml").write_text(CONFIG, encoding="utf-8")
    dev = Dev(tmp_path)
    try:
        dev.until_said("Press Ctrl-C")
        arguments = ("--platform", "gcp", "--project", PROJECT, "--to-dev")
        with listening(tmp_path, deployed.environ, *arguments) as listener:
            post_push(f"http://127.0.0.1:{deployed.ports['receive']}/github", CLOUD_SECRET, 1_000)
            listener.until_said("  push  ")
        assert any("  200  " in line for line in listener.lines), listener.lines
        with open_local_state(tmp_path / "state") as state:
            [event] = state.reader.events(EventQuery(limit=10)).events
        assert (event.source, event.type) == ("github", "push")
    finally:
        dev.interrupt()
