"""`hookchain dev --platform aws`: the whole pipe in Lambda's runtime, its reloading, and that nothing outlives it."""

import base64
import contextlib
import http.client
import json
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from deploy.config.dotenv import read_dotenv
from deploy.dev.caught import Mailbox
from tests.functional.test_dev import CONFIG, Dev, reload_under_load
from tests.running.local_lambda import pids_of, require_tools
from tests.running.processes import PATIENCE_SECONDS, ROOT

pytestmark = pytest.mark.slow

BUSES: Final = """
sources:
  jobs: {bus: {sqs: "arn:aws:sqs:eu-central-1:123456789012:jobs"}}
  shop: {bus: {eventbridge: {source: [com.example.shop]}}}"""


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    require_tools()
    dev = Dev(tmp_path, "--platform", "aws")
    try:
        dev.until_said("Press Ctrl-C")
        yield dev
    finally:
        stop(dev)


def stop(dev: Dev) -> None:
    dev.process.send_signal(signal.SIGINT)
    dev.process.wait(PATIENCE_SECONDS)


def post(dev: Dev, name: str) -> str:
    """Post an event, which must be accepted; return its id."""
    password = read_dotenv(dev.env)["FORM_PASSWORD"]
    credentials = base64.b64encode(f"web:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}
    body = json.dumps({"customerName": name}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{dev.base}/form", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == 200
        return str(json.loads(answer.read())["id"])


def subjects(dev: Dev) -> list[str]:
    with contextlib.closing(Mailbox(dev.config.parent / "state")) as mailbox:
        return sorted(mail.subject for mail in mailbox.list_mail(100))


def hookchain(dev: Dev, *arguments: str) -> str:
    """Run a command on this machine's state, without --platform; return what it prints."""
    command = [sys.executable, "-m", "deploy.cli", *arguments, "--state", str(dev.config.parent / "state")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_event_becomes_a_mail_and_the_commands_read_and_repeat_it(dev: Dev) -> None:
    event_id = post(dev, "Jörg")
    dev.until(lambda: subjects(dev) == ["New: Jörg"])
    settings = ["--config", str(dev.config), "--env-file", str(dev.env)]
    dev.until(lambda: json.loads(hookchain(dev, "events", "list", "--json"))["events"][0]["status"] == "delivered")
    assert '"customerName": "J' in hookchain(dev, "events", "show", event_id)
    status = hookchain(dev, "status", *settings)
    assert "hookchain dev, local AWS" in status
    assert "hookchain-deliveries-undelivered" in status
    assert event_id in hookchain(dev, "logs", "--event", event_id, "--json", *settings[2:])
    assert json.loads(hookchain(dev, "dead-letters", "list", "--json"))["dead_letters"] == []
    assert "published as replay" in hookchain(dev, "events", "replay", event_id, "--force", "--yes")
    dev.until(lambda: subjects(dev) == ["New: Jörg", "New: Jörg"])
    assert "delivered" in hookchain(dev, "smoke", *settings)


def test_a_changed_configuration_is_used_with_the_queues_of_its_sources(dev: Dev) -> None:
    changed = CONFIG.replace("sources:", BUSES).replace("from: form", "from: all")
    dev.config.write_text(changed.replace("New: {{ data.customerName }}", "Changed: {{ source }}"), encoding="utf-8")
    dev.until_said("messages of the emulated queue jobs")
    dev.until_said("restarted")
    listed = hookchain(dev, "sources", "--json", "--config", str(dev.config), "--env-file", str(dev.env))
    lines = [each["example"] for each in json.loads(listed)["sources"] if each["name"] in ("jobs", "shop")]
    for line in lines:
        dev.until(partial(is_sent, line))  # receive makes the queues when it starts again
    dev.until(lambda: subjects(dev) == ["Changed: jobs", "Changed: shop"])
    post(dev, "Ann")
    dev.until(lambda: "Changed: form" in subjects(dev))


def is_sent(line: str) -> bool:
    done = subprocess.run(shlex.split(line), capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def call_sqs(dev: Dev, action: str, **request: str | int) -> None:
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}"}
    call = urllib.request.Request(f"http://127.0.0.1:{dev.base + 5}/", json.dumps(request).encode(), headers)
    with contextlib.suppress(OSError, http.client.HTTPException):  # the local AWS ends meanwhile
        urllib.request.urlopen(call, timeout=PATIENCE_SECONDS).close()


def test_ctrl_c_leaves_nothing_behind_and_what_was_accepted_is_kept(dev: Dev, tmp_path: Path) -> None:
    queue = {"QueueUrl": f"http://127.0.0.1:{dev.base + 5}/000000000000/empty", "WaitTimeSeconds": 20}
    call_sqs(dev, "CreateQueue", QueueName="empty")
    event_id = post(dev, "Ann")
    poll = threading.Thread(target=call_sqs, args=(dev, "ReceiveMessage"), kwargs=queue)
    poll.start()  # as `hookchain listen` does
    stop(dev)
    poll.join()
    dev.until(lambda: not pids_of(str(tmp_path / "state")))
    assert dev.ports_open() == []
    again = Dev(tmp_path, "--platform", "aws")
    try:
        again.until(lambda: subjects(again) == ["New: Ann"])
        listed = ("events", "list", "--status", "delivered", "--json")
        again.until(lambda: event_id in hookchain(again, *listed))
    finally:
        stop(again)


def test_a_killed_supervisor_leaves_nothing_behind(dev: Dev, tmp_path: Path) -> None:
    post(dev, "Ann")
    dev.process.kill()
    dev.process.wait()
    dev.until(lambda: not pids_of(str(tmp_path / "state")))
    assert dev.ports_open() == []


def test_a_reload_refuses_no_connection_and_loses_no_event(dev: Dev) -> None:
    reload_under_load(dev, keeps_alive=False)
