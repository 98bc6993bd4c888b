"""The whole pipe as `make dev` runs it, from a post to the mail that the provider has accepted."""

import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.dev.sendgrid.mailbox import Mailbox
from tests.bench.load import wrk
from tests.processes import Request
from tests.stack import Stack, running

SECRET = "a-secret-of-the-benchmark"
CONFIG = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, type: data.event}
routes:
  - {name: all, from: shop, types: [password_created], steps: [{drop: [data.secretGuid]}], to: inbox}
destinations:
  inbox:
    email: {to: [inbox@example.com], from: shop@example.com, subject: "{{ data.customerName }}"}
"""
REQUEST = Request(
    "/shop",
    b'{"event": "password_created", "eventId": 12345, "secretGuid": "alakldsjf24567", '
    b'"customerName": "Chuck U Farley", "customerEmail": "chuckufarley@example.com"}',
    {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"},
)
FUNCTIONS = ("receive", "transform", "notify")


@dataclass(frozen=True, slots=True)
class Piped:
    """`seconds` from the first post to the last mail; `cpu_ms` of the three functions together, for one event."""

    events: int
    lost: int
    seconds: float
    cpu_ms: float

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


def measure(seconds: int) -> tuple[Piped, list[float]]:
    """Under load, and the milliseconds from post to mail of single events before it."""
    with stack() as running_stack:
        idle = [_one(running_stack) for _ in range(60)][10:]
        return under_load(running_stack, seconds), idle


@contextmanager
def stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), CONFIG, {"SHOP_KEY": SECRET}) as stack:
        yield stack


def under_load(stack: Stack, seconds: int) -> Piped:
    before, cpu_before = _mails(stack), _cpu_seconds(stack)
    began = time.perf_counter()
    load = wrk(stack.base, REQUEST, seconds)
    accepted = load.requests - load.refused
    while (mails := _mails(stack) - before) < accepted and time.perf_counter() - began < 120:
        time.sleep(0.1)
    elapsed = time.perf_counter() - began
    time.sleep(1.0)  # what is written after the mail is accepted
    cpu = _cpu_seconds(stack) - cpu_before
    return Piped(accepted, accepted - min(mails, accepted), elapsed, cpu / accepted * 1000)


def _one(stack: Stack) -> float:
    before = _mails(stack)
    web = urllib.request.Request(f"{stack.url}{REQUEST.path}", REQUEST.body, dict(REQUEST.headers))
    began = time.time()
    with urllib.request.urlopen(web, timeout=5):
        pass
    while _mails(stack) == before:
        time.sleep(0.002)
    with closing(Mailbox(stack.state)) as mailbox:
        return (mailbox.list_mail(1)[0].received_at - began) * 1000


def _mails(stack: Stack) -> int:
    with closing(Mailbox(stack.state)) as mailbox:
        return mailbox.count()


def _cpu_seconds(stack: Stack) -> float:
    pids = [str(pid) for name in FUNCTIONS for pid in stack.pids(name)]
    said = subprocess.run(["ps", "-o", "time=", "-p", ",".join(pids)], capture_output=True, text=True, check=True)
    return sum(_seconds(text.strip()) for text in said.stdout.splitlines())


def _seconds(text: str) -> float:
    """ps's `[[dd-]hh:]mm:ss[.ss]`"""
    days, _, rest = text.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = total * 60 + float(part)
    return total + int(days or 0) * 86_400


def median(values: list[float]) -> float:
    return statistics.median(values)
