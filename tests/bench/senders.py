"""Another sender of webhooks, side by side: the same number of events to twenty endpoints each, in the same run.

CPU counts from the moment when an event is known: to find its endpoints, write down each delivery, sign it, send it and
record what came of it. Of Hookchain it is that of notify, of the other that of the one process that does all of this.
Both keep what they write in SQLite, synced.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.folders import new_folder
from tests.bench.peers import NotInstalled, python_environment
from tests.bench.pipe import NOTHING
from tests.bench.run import Run
from tests.bench.stats import median
from tests.bench.subscribers import SECRET, World, endpoint_world
from tests.running.ports import free_port
from tests.running.processes import started

ENDPOINTS: Final = 20
EVENTS: Final = 10
OTHER: Final = "django-outbound-webhooks"
SENDER: Final = Path(__file__).parent / "functions" / "django_sender.py"


def measure_senders(run: Run) -> str:
    """Return a table of the senders, with the CPU of a delivery as a multiple of Hookchain's."""
    try:
        figure = f"{_multiple(run):.1f} ×"
    except (NotInstalled, OSError) as error:
        figure = f"skipped: {error}"
    rows = ["| sender | CPU of a delivery to one of 20 endpoints |", "|---|---|", "| Hookchain's notify | 1.0 × |"]
    return "\n".join([*rows, f"| {OTHER} | {figure} |"])


def _multiple(run: Run) -> float:
    """Return the median of the rounds' ratios. Raises NotInstalled and OSError."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        receivers = [sys.executable, "-m", "tests.bench.receivers", str(port)]
        stack.enter_context(started(receivers, {}, port, NOTHING, ready="open"))
        world = stack.enter_context(endpoint_world(run.trees[0], port, endpoints=ENDPOINTS))
        run.say(f"side by side: install and start {OTHER}")
        other = stack.enter_context(_other(new_folder(), port))
        _own_seconds(world)
        _other_seconds(other)
        ratios = []
        for number in range(run.rounds):
            run.say(f"side by side: round {number + 1} of {run.rounds}")
            own_seconds = _own_seconds(world)
            ratios.append(_other_seconds(other) / own_seconds)
    run.clear()
    return median(ratios)


def _own_seconds(world: World) -> float:
    """Return the CPU seconds of a delivery, with its share of the fan-out."""
    seconds, made = world.fan_out(EVENTS)
    assert len(made) == EVENTS * ENDPOINTS
    return seconds / len(made) + world.pipe.push("notify", made).seconds


@contextlib.contextmanager
def _other(folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    """Start the other sender, with its endpoints. Raises NotInstalled."""
    programs = python_environment(folder, OTHER)
    command = [str(programs / "python"), str(SENDER), str(folder), str(port), str(ENDPOINTS), SECRET]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise NotInstalled(f"{OTHER} does not start")
            yield process
        finally:
            process.terminate()


def _other_seconds(process: "subprocess.Popen[str]") -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{EVENTS}\n")
    process.stdin.flush()
    seconds, delivered = process.stdout.readline().split()
    assert int(delivered) == EVENTS * ENDPOINTS
    return float(seconds) / int(delivered)
