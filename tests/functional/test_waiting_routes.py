"""A step's system that fails or hangs, with real processes: who does not ask it feels nothing of it."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.jsontext import JsonObject, list_at
from tests.kill.disturbances import HOUR, Clock
from tests.running.processes import ROOT, wait_for
from tests.running.sending import send_until_confirmed
from tests.running.stack import Stack, running
from tests.stand_ins.http_server import Said, Seen, http_stand_in

EVENTS = 60
CONFIG = """
sources:
  asker: {auth: none, id: data.id}
  quiet: {auth: none, id: data.id}
routes:
  - name: asks
    from: asker
    steps: [{fetch: {url: "http://127.0.0.1:PORT/api", into: data.got, allow_private: true, timeout: 5s}}]
    to: asked
  - {name: direct, from: asker, to: direct}
  - {name: quiet, from: quiet, to: quiet}
destinations:
  asked: {webhook: {url: "http://127.0.0.1:PORT/asked", allow_private: true}}
  direct: {webhook: {url: "http://127.0.0.1:PORT/direct", allow_private: true}}
  quiet: {webhook: {url: "http://127.0.0.1:PORT/quiet", allow_private: true}}
"""


class Outside:
    """The API at /api, and receivers at all other paths, with the time at which each id arrived there."""

    def __init__(self) -> None:
        self.url = ""
        self.status, self.is_up = 200, threading.Event()
        self.is_up.set()
        self.asked = 0
        self.arrived: dict[str, list[tuple[str, float]]] = {"asked": [], "direct": [], "quiet": []}

    def seconds(self, path: str, sent: dict[str, float]) -> list[float]:
        return [at - sent[name] for name, at in self.arrived[path]]

    def answer(self, seen: Seen) -> Said:
        if seen.method == "GET":
            self.asked += 1
            self.is_up.wait(60)
            return Said(self.status, b'{"a": 1}', {"content-type": "application/json"})
        self.arrived[seen.path[1:]].append((json.loads(seen.body)["id"], time.time()))
        return Said(200, b"", {"content-type": "application/json"})


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    with http_stand_in(made.answer) as made.url:
        yield made
        made.is_up.set()


def send_all(stack: Stack, source: str, count: int, rate: float, prefix: str = "e") -> dict[str, float]:
    """Send events and return when each was sent."""
    sent: dict[str, float] = {}

    def send(number: int) -> None:
        name = f"{source}-{prefix}-{number}"
        sent[name] = time.time()
        send_until_confirmed(f"{stack.url}/{source}", {"id": name})

    with ThreadPoolExecutor(8) as pool:
        for number in range(count):
            pool.submit(send, number)
            time.sleep(1 / rate)
    return sent


def command(stack: Stack, *arguments: str) -> JsonObject:
    line = [sys.executable, "-m", "deploy.cli", *arguments, "--json", "--state", str(stack.state)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    found: JsonObject = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["503", "hangs"])
def test_a_systems_trouble_is_felt_by_routes_that_ask_it_alone(outside: Outside, tmp_path: Path, trouble: str) -> None:
    clock = Clock(tmp_path / "clock")
    environ = {**clock.environ, "PYTHONPATH": str(ROOT / "tests" / "kill" / "hooks")}
    with running(tmp_path, CONFIG.replace("http://127.0.0.1:PORT", outside.url), environ, log_level="INFO") as stack:
        send_all(stack, "quiet", 5, rate=10.0, prefix="first")
        wait_for(lambda: len(outside.arrived["quiet"]) == 5)
        outside.arrived["quiet"].clear()
        if trouble == "503":
            outside.status = 503
        else:
            outside.is_up.clear()
        sent = send_all(stack, "asker", EVENTS, rate=50.0)
        sent |= send_all(stack, "quiet", 40, rate=10.0)
        wait_for(lambda: len(outside.arrived["quiet"]) == 40 and len(outside.arrived["direct"]) == EVENTS)
        direct, quiet = sorted(outside.seconds("direct", sent)), sorted(outside.seconds("quiet", sent))
        print(f"{trouble}: direct at most {direct[-1]:.2f} s; quiet at most {quiet[-1]:.2f} s")
        assert outside.arrived["asked"] == []
        assert outside.asked < EVENTS / 2, "most wait without a try of their own"
        assert (direct[-1] < 3.0, quiet[-1] < 2.0) == (True, True)

        waiting = list_at(command(stack, "status")["waiting_routes"])
        assert [each["route"] for each in waiting if isinstance(each, dict)] == ["asks"]
        outside.status = 200
        outside.is_up.set()
        clock.step(HOUR)  # in which the pause of the API ends
        wait_for(lambda: len({name for name, _ in outside.arrived["asked"]}) == EVENTS)
        time.sleep(1)
        assert len(outside.arrived["asked"]) == EVENTS
        assert stack.dead_letters() == []
        assert "outcome=unavailable" not in (tmp_path / "output").read_text(encoding="utf-8")
