"""The whole pipe as `make dev` runs it: every accepted event is on the disk until its mail is accepted."""

import contextlib
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from deploy.dev.caught import Mailbox
from tests.bench.configurations import ENVIRON, configuration, signed, small_order
from tests.bench.cpu import cpu_seconds
from tests.bench.events import bare_cost
from tests.bench.folders import new_folder
from tests.bench.load import drive, http_post
from tests.bench.pipe import bare
from tests.bench.run import Run
from tests.bench.tree import Tree
from tests.running.stack import Stack, running

EVENTS: Final = 1_000
IDLE_POSTS: Final = 15
MAIL_SECONDS: Final = 120.0


@dataclass(slots=True)
class Emulated:
    """A tree's `hookchain dev`, and how many orders were made for it."""

    stack: Stack
    prepared: int = 0

    def orders(self, count: int) -> list[bytes]:
        self.prepared += count
        numbers = range(self.prepared - count, self.prepared)
        return [http_post(signed(small_order(f"{number:012d}"))) for number in numbers]

    def mails(self) -> int:
        with contextlib.closing(Mailbox(self.stack.state)) as mailbox:
            return mailbox.count()


@dataclass(frozen=True, slots=True)
class Piped:
    per_second: float
    cpu_seconds: float
    lost: int


def measure_durable(run: Run) -> None:
    with bare() as reference, contextlib.ExitStack() as stack:
        emulated = {tree.name: stack.enter_context(_emulated(tree)) for tree in run.trees}
        for each in emulated.values():
            _under_load(each)
        for number, tree in run.rounds_of("durable, end to end"):
            unit, pipe = bare_cost(reference), emulated[tree.name]
            run.record("durable-idle", tree, statistics.median(_idle_milliseconds(pipe) for _ in range(IDLE_POSTS)))
            measured = [_with_page_open, _under_load] if number % 2 else [_under_load, _with_page_open]
            piped = {measure: measure(pipe) for measure in measured}
            alone, watched = piped[_under_load], piped[_with_page_open]
            run.record("durable", tree, alone.per_second)
            run.record("durable-cpu", tree, alone.cpu_seconds / unit.seconds)
            run.record("durable-lost", tree, alone.lost + watched.lost)
            run.record("durable-page", tree, watched.per_second / alone.per_second)


@contextlib.contextmanager
def _emulated(tree: Tree) -> Iterator[Emulated]:
    environ = {**ENVIRON, "PYTHONPATH": str(tree.root)}
    with running(new_folder(), configuration(), environ, root=tree.root) as stack:
        yield Emulated(stack)


def _under_load(pipe: Emulated) -> Piped:
    """Count until the last mail, and half a second more for what is written after it."""
    orders, mails, cpu = pipe.orders(EVENTS), pipe.mails(), cpu_seconds(pipe.stack.pid)
    began = time.perf_counter()
    accepted = EVENTS - drive(pipe.stack.base, orders).failed
    while (mailed := pipe.mails() - mails) < accepted and time.perf_counter() - began < MAIL_SECONDS:
        time.sleep(0.05)
    elapsed = time.perf_counter() - began
    time.sleep(0.5)
    return Piped(mailed / elapsed, (cpu_seconds(pipe.stack.pid) - cpu) / accepted, accepted - mailed)


def _with_page_open(pipe: Emulated) -> Piped:
    with _page_open(pipe.stack):
        return _under_load(pipe)


def _idle_milliseconds(pipe: Emulated) -> float:
    """Return the time from one post to its mail."""
    before, request = pipe.mails(), signed(small_order(f"idle-{time.monotonic_ns()}"))
    web = urllib.request.Request(f"{pipe.stack.url}{request.path}", request.body, dict(request.headers))
    began = time.time()
    with urllib.request.urlopen(web, timeout=5):
        pass
    while pipe.mails() == before:
        time.sleep(0.002)
    with contextlib.closing(Mailbox(pipe.stack.state)) as mailbox:
        return (mailbox.list_mail(1)[0].received_at - began) * 1000


@contextlib.contextmanager
def _page_open(stack: Stack) -> Iterator[None]:
    """Read what an open page reads: the live stream, to its end."""
    read = "import sys, urllib.request as u\nrequest = u.Request(sys.argv[1], headers={'Authorization': sys.argv[2]})\n"
    read += "for _ in u.urlopen(request): pass"
    url, authorization = f"http://127.0.0.1:{stack.base + 10}/api/live", stack.page_headers["Authorization"]
    reader = subprocess.Popen([sys.executable, "-c", read, url, authorization])
    try:
        yield
        assert reader.poll() is None, "the live stream ended"
    finally:
        reader.terminate()
        reader.wait()
