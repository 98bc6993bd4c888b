"""`hookchain serve` with real processes: it reloads, stops and serves HTTPS without losing or repeating a delivery."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.running.ports import free_port
from tests.running.processes import ROOT, is_open, wait_for
from tests.running.stack import Stack, running
from tests.stand_ins.http_server import Said, Seen, http_stand_in

pytestmark = pytest.mark.slow

KEY: Final = "a-long-key-of-the-shop"
CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: crm}
destinations:
  crm:
    webhook: {url: "http://127.0.0.1:PORT/in", allow_private: true}
    timeout: 20s
"""
OTHER_SOURCE: Final = "sources:\n  other: {auth: {scheme: bearer, secret: shop-key}, id: data.id}\n"
ENVIRON: Final = {"SHOP_KEY": KEY}


class Receiver:
    """What was delivered: ids, and paths with ids. `seconds`: how long each answer takes; `failing`: a path that
    is answered 503."""

    def __init__(self) -> None:
        self.url = ""
        self.seconds = 0.0
        self.failing = ""
        self.arrived: list[object] = []
        self.answered: list[object] = []
        self.taken: list[tuple[str, int]] = []

    def answer(self, seen: Seen) -> Said:
        body = json.loads(seen.body)
        is_taken = seen.path != self.failing
        self.arrived.append(body["id"])
        if is_taken:
            self.taken.append((seen.path, body["id"]))
        time.sleep(self.seconds)
        self.answered.append(body["id"])
        return Said(200 if is_taken else 503)


@pytest.fixture
def crm() -> Iterator[Receiver]:
    receiver = Receiver()
    with http_stand_in(receiver.answer) as receiver.url:
        yield receiver


def config_for(crm: Receiver) -> str:
    return CONFIG.replace("http://127.0.0.1:PORT", crm.url)


def send(url: str, number: int, context: ssl.SSLContext | None = None) -> int:
    """Return the status; 0 if the connection was refused or reset."""
    body = json.dumps({"id": number}).encode()
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def messages(folder: Path) -> list[str]:
    """Return the messages of the log, each line of which is a JSON object."""
    return [json.loads(line)["message"] for line in (folder / "output").read_text().splitlines()]


def wait_for_message(folder: Path, text: str, count: int = 1) -> None:
    wait_for(lambda: sum(text in message for message in messages(folder)) >= count)


def test_a_stop_finishes_what_is_under_way_accepts_no_more_and_repeats_nothing(tmp_path: Path, crm: Receiver) -> None:
    crm.seconds = 5.0  # longer than `make dev` waits for a process
    with running(tmp_path, config_for(crm), ENVIRON, log_level="INFO", serves=True) as stack:
        assert send(f"{stack.url}/shop", 1) == 200
        wait_for(lambda: crm.arrived == [1])
        os.kill(stack.pid, signal.SIGTERM)
        wait_for(lambda: not is_open(stack.base))
        assert crm.answered == []
        assert send(f"{stack.url}/shop", 2) == 0
        wait_for_message(tmp_path, "Stopped")
    assert crm.answered == [1]
    crm.seconds = 0.0
    with running(tmp_path, config_for(crm), ENVIRON, serves=True) as stack:
        assert send(f"{stack.url}/shop", 3) == 200
        wait_for(lambda: 3 in crm.answered)
    assert crm.arrived == [1, 3]


def test_sighup_loads_what_is_valid_and_no_connection_is_refused(tmp_path: Path, crm: Receiver) -> None:
    with running(tmp_path, config_for(crm), ENVIRON, log_level="INFO", serves=True) as stack:
        with sending(stack) as statuses:
            replace_config(
                tmp_path, stack, config_for(crm).replace("sources:\n", OTHER_SOURCE).replace("from: shop", "from: all")
            )
            wait_for_message(tmp_path, "SIGHUP: restarted")
            replace_config(tmp_path, stack, "sources: {x: {auth: wrong}}\n")
            wait_for_message(tmp_path, "SIGHUP; the previous configuration is still in use")
        assert set(statuses) == {200}
        assert send(f"{stack.url}/other", 100_000) == 200
        wait_for(lambda: {*range(len(statuses)), 100_000} <= {*crm.answered})
    assert len(crm.arrived) == len({*crm.arrived})


def test_a_reload_delivers_to_others_while_an_attempt_is_under_way(tmp_path: Path, crm: Receiver) -> None:
    with running(tmp_path, config_for(crm), ENVIRON, log_level="INFO", serves=True) as stack:
        crm.seconds = 8.0
        assert send(f"{stack.url}/shop", 1) == 200
        wait_for(lambda: crm.arrived == [1])
        crm.seconds = 0.0
        replace_config(tmp_path, stack, config_for(crm).replace("timeout: 20s", "timeout: 19s"))
        time.sleep(1.0)
        assert send(f"{stack.url}/shop", 2) == 200
        wait_for(lambda: 2 in crm.answered)
        assert crm.answered == [2]
        wait_for(lambda: crm.answered == [2, 1])
        wait_for_message(tmp_path, "SIGHUP: restarted")
    assert crm.arrived == [1, 2]


def replace_config(folder: Path, stack: Stack, config: str) -> None:
    (folder / "hookchain.yaml").write_text(config, encoding="utf-8")
    os.kill(stack.pid, signal.SIGHUP)


@contextlib.contextmanager
def sending(stack: Stack) -> Iterator[list[int]]:
    """Send events, each over a connection of its own, until the block ends; yield their statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def send_all() -> None:
        while not over.wait(0.02):
            statuses.append(send(f"{stack.url}/shop", len(statuses)))

    thread = threading.Thread(target=send_all)
    thread.start()
    try:
        wait_for(lambda: len(statuses) > 10)
        yield statuses
    finally:
        over.set()
        thread.join()


def test_https_is_served_with_the_certificate_and_the_one_that_replaces_it(tmp_path: Path, crm: Receiver) -> None:
    port = free_port()
    certificate, key = write_certificate(tmp_path)
    host = "[::]" if socket.has_dualstack_ipv6() else "0.0.0.0"
    beside = os.path.relpath(certificate, ROOT)  # the functions run in other folders than the command
    options = ["--listen", f"{host}:{port}", "--tls-certificate", beside, "--tls-key", str(key)]
    with running(tmp_path, config_for(crm), ENVIRON, options, log_level="INFO", serves=True) as stack:
        wait_for(lambda: is_open(port))
        first = ssl.create_default_context(cafile=str(certificate))
        assert send(f"https://localhost:{port}/shop", 1, first) == 200
        assert send(f"{stack.url}/shop", 2) == 200  # commands use it
        write_certificate(tmp_path)
        os.kill(stack.pid, signal.SIGHUP)
        wait_for_message(tmp_path, "SIGHUP: restarted receive-tls")
        second = ssl.create_default_context(cafile=str(certificate))
        assert send(f"https://localhost:{port}/shop", 3, second) == 200
        assert send(f"https://localhost:{port}/shop", 4, first) == 0
        wait_for(lambda: {1, 2, 3} <= {*crm.answered})


def write_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "pem", folder / "key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
